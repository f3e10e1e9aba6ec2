"""Two programs that undo each other's work: neither runs for ever."""

from __future__ import annotations

import time

import pytest

from tests.docker.stage import eventually
from tests.healing.town import Town

pytestmark = pytest.mark.root


def mended(town: Town) -> int:
    """How often the daemon says that it repaired something."""
    return town.lan.daemon.log.count("is mended")


def test_somebody_who_deletes_our_rules_again_and_again(town: Town) -> None:
    """It is given way, a warning names it, and when it stops all is well again."""
    fight = "while sleep 0.2; do iptables -F DOCKER-FORWARD; done"
    before = mended(town)
    with town.lan.host.popen(["sh", "-c", fight]) as fighter:
        eventually(lambda: "is undone again and again" in town.lan.daemon.log)
        count, begun = mended(town), time.monotonic()
        time.sleep(3)
        rounds = (time.monotonic() - begun) / 0.2
        assert mended(town) - count < rounds / 2
        fighter.kill()
    assert mended(town) > before
    assert "is undone again and again (rules were last written by iptables" in town.lan.daemon.log
    assert "is undone again and again" in town.lan.daemon.fairlead("doctor", check=False).stdout
    town.settles(90)


def test_a_container_that_flushes_its_own_rules(town: Town) -> None:
    """Its names are answered again after the audit; an address it takes away stays away."""
    lan = town.lan
    lan.daemon.restart("--audit-interval", "1")
    lan.docker("exec", "web", "nft", "flush", "ruleset")
    eventually(lambda: town.ask("web", "mate") == "mate")
    lan.docker("exec", "web", "ip", "route", "del", "default")
    lan.docker("exec", "web", "nft", "flush", "ruleset")
    eventually(lambda: town.ask("web", "mate") == "mate")
    assert lan.docker("exec", "web", "ip", "route", "show", "default") == ""
    assert "route 0.0.0.0/0" in lan.daemon.fairlead("doctor", check=False).stdout
    lan.daemon.fairlead("doctor", "--fix", check=False)
    assert lan.docker("exec", "web", "ip", "route", "show", "default") != ""
    lan.daemon.restart()


def test_a_default_route_of_the_containers_own(town: Town) -> None:
    """A container that leads its traffic elsewhere does not keep the daemon from starting."""
    lan = town.lan
    lan.docker(
        "exec", "web", "ip", "route", "replace", "default", "via", lan.address("mate", "red")
    )
    lan.daemon.restart()
    assert lan.docker("exec", "web", "ip", "route", "show", "default").count("default") == 1
    town.settles()
    assert lan.daemon.fairlead("doctor", check=False).stdout.endswith("nothing is wrong\n")


def test_a_route_that_comes_later(town: Town) -> None:
    """A VPN that leads into a network of ours is told at once: log, events, doctor."""
    lan = town.lan
    inside = lan.subnet("red").replace(".0.0/16", ".128.0/24")
    lan.host.shell(
        f"ip link add tun0 type bridge; ip link set tun0 up;ip route add {inside} dev tun0"
    )
    told = f"the host's route to {inside} overlaps {lan.subnet('red')} of network red"
    eventually(lambda: told in lan.daemon.log)
    seen = lan.daemon.api("GET", f"/events?since=0&until={int(time.time()) + 1}").body.decode()
    assert f'"route":"{inside}"' in seen
    report = lan.daemon.fairlead("doctor", check=False)
    assert f"error: {told}" in report.stdout
    assert report.returncode == 1
    lan.host.shell("ip link del tun0")
    assert lan.daemon.fairlead("doctor").returncode == 0
