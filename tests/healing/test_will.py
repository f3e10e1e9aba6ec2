"""What a person writes into a chain that stands is their will, until they or a restart end it."""

from __future__ import annotations

import json

import pytest

from tests.docker.stage import eventually
from tests.healing.town import Town

pytestmark = pytest.mark.root
EDIT = "iptables -R DOCKER-ISOLATION-STAGE-2 1 -j ACCEPT"


def stage(town: Town) -> list[str]:
    """The rules of the isolation's second stage."""
    said = town.lan.host.run(["iptables", "-S", "DOCKER-ISOLATION-STAGE-2"]).stdout
    return [line for line in said.splitlines() if line.startswith("-A")]


def drift(town: Town) -> list[str]:
    """What the doctor calls drift."""
    report = json.loads(town.lan.daemon.fairlead("doctor", "--format", "json", check=False).stdout)
    return [f["What"] for f in report["Findings"] if f["Kind"] == "drift"]


def noticed(town: Town) -> None:
    """Damage is done on purpose, so that whoever repairs it has seen the edits before, too."""
    town.lan.host.shell("iptables -F DOCKER-FORWARD")
    eventually(lambda: "-A" in town.lan.host.run(["iptables", "-S", "DOCKER-FORWARD"]).stdout)


def test_a_rule_replaced(town: Town) -> None:
    """It stays while networks come and go, opens what it was to open, and the doctor ends it."""
    lan = town.lan
    assert town.ask("far", town.address) != "web"
    before = stage(town)
    lan.host.shell(EDIT)
    noticed(town)
    assert town.ask("far", town.address) == "web"
    lan.create("green")
    assert stage(town)[0] == "-A DOCKER-ISOLATION-STAGE-2 -j ACCEPT"
    assert len(stage(town)) == len(before) + 1
    lan.docker("network", "rm", "green")
    assert stage(town) == ["-A DOCKER-ISOLATION-STAGE-2 -j ACCEPT", *before[1:]]
    assert any("DOCKER-ISOLATION-STAGE-2" in what for what in drift(town))
    assert lan.daemon.fairlead("doctor", "--fix", check=False).stdout.startswith("repaired:\n  ~")
    assert stage(town) == before
    assert drift(town) == []
    town.settles()


def test_a_restart_ends_it(town: Town) -> None:
    """A restarted daemon makes the rules its own again."""
    before = stage(town)
    town.lan.host.shell(EDIT)
    noticed(town)
    assert stage(town) != before
    town.lan.daemon.restart()
    assert stage(town) == before


def test_rules_deleted_and_added(town: Town) -> None:
    """New networks are as closed as ever, though rules above theirs are gone or others are there."""
    lan = town.lan
    lan.host.shell(
        "iptables -D DOCKER-ISOLATION-STAGE-1 1;"
        "iptables -I DOCKER-ISOLATION-STAGE-2 1 -p tcp -m tcp --dport 7 -j RETURN;"
        "iptables -A DOCKER -p tcp -m tcp --dport 7 -j RETURN"
    )
    lan.create("green", "--internal")
    town.serve("hermit", "--network green")
    town.serve("next", "--network blue -p 8181:80")
    assert town.ask_from_outside(port=8181) == "next"
    address = lan.address("hermit", "green")
    for name in ("mate", "far"):
        assert town.ask(name, address) != "hermit"
    assert "unreachable" in town.ask("hermit", str(lan.neighbour.address))
    said = lan.host.run(["iptables-save", "-t", "filter"]).stdout
    assert said.count("--dport 7 -j RETURN") == 2
    lan.docker("rm", "-f", "hermit", "next")
    lan.docker("network", "rm", "green")
    lan.daemon.fairlead("doctor", "--fix", check=False)
    assert "--dport 7 " not in lan.host.run(["iptables-save", "-t", "filter"]).stdout
    town.settles()


def test_a_strangers_rule_above_ours(town: Town) -> None:
    """It stays above, is not touched, and our jumps come back below it in their order."""
    rule = "-p tcp -m tcp --dport 25 -j DROP"
    host = town.lan.host
    host.shell(f"iptables -I FORWARD {rule}; iptables -D FORWARD -j DOCKER-ISOLATION-STAGE-1")
    wanted = [rule, "-j DOCKER-USER", "-j DOCKER-ISOLATION-STAGE-1", "-j DOCKER-FORWARD"]

    def forward() -> list[str]:
        said = host.run(["iptables", "-S", "FORWARD"]).stdout.splitlines()
        return [line.removeprefix("-A FORWARD ") for line in said if line.startswith("-A")]

    eventually(lambda: forward() == wanted)
    report = town.lan.daemon.fairlead("doctor", check=False)
    assert f"a rule above fairlead's in ip filter FORWARD: {rule}" in report.stdout
    assert report.returncode == 1
    town.lan.daemon.fairlead("doctor", "--fix", check=False)
    assert forward() == [*wanted[1:], rule]
    host.shell(f"iptables -D FORWARD {rule}")
    assert town.lan.daemon.fairlead("doctor").returncode == 0


def test_our_rule_twice(town: Town) -> None:
    """A copy of a rule of ours in a chain that is not ours goes with a repair."""
    host, before = town.lan.host, town.state()
    host.shell(
        "iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE;"
        "iptables -A FORWARD -j DOCKER-USER"
    )
    assert len(drift(town)) == 2
    town.lan.daemon.fairlead("doctor", "--fix", check=False)
    assert town.state() == before


def test_a_masquerade_replaced(town: Town) -> None:
    """Somebody else's source address for a network is not undone."""
    host = town.lan.host
    before = town.state()
    host.shell(
        "n=$(iptables -t nat -L POSTROUTING --line-numbers -n | awk '/172.17.0.0/ {print $1}');"
        f"iptables -t nat -R POSTROUTING $n -s 172.17.0.0/16 ! -o docker0 -j SNAT --to-source {host.address}"
    )
    noticed(town)
    said = host.run(["iptables", "-t", "nat", "-S", "POSTROUTING"]).stdout
    assert "SNAT" in said
    assert "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE" not in said
    town.lan.daemon.fairlead("doctor", "--fix", check=False)
    host.shell("iptables -t nat -S POSTROUTING | grep -q MASQUERADE")
    town.is_again(before)
