"""A host that Debian's firewalld looks after: containers reach out, ports are open, all comes back.

::

    neighbour ── switch ── host with firewalld and fairlead
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.lab import Daemon, Machine, Switch
from tests.lab.firewalld import Firewalld, firewalld

pytestmark = pytest.mark.root

PATIENCE_SECONDS = 20.0
SERVE = "mkdir -p /www; echo here >/www/index.html; exec httpd -f -p 80 -h /www"


@dataclass
class Scene:
    """The two machines, and what runs on the first."""

    host: Machine
    neighbour: Machine
    daemon: Daemon
    firewall: Firewalld

    def reaches_out(self) -> bool:
        """Whether a container hears from the neighbour."""
        target = str(self.neighbour.address)
        words = ("exec", "box", "ping", "-c", "1", "-W", "1", target)
        return self.daemon.docker(*words, check=False).returncode == 0

    def is_reached(self) -> bool:
        """Whether the neighbour gets the page of the published port."""
        get = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 {self.host.address} 8080"
        return self.neighbour.shell(get, check=False).stdout.endswith("here\n")

    def zone(self, link: str) -> str:
        """The zone that an interface is in."""
        return self.firewall.cmd(f"--get-zone-of-interface={link}", check=False)

    def bridge(self) -> str:
        """The bridge of the network."""
        form = "br-{{slice .Id 0 12}}"
        return self.daemon.docker("network", "inspect", "-f", form, "net").stdout.strip()


def eventually(what: Callable[[], object]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """firewalld was there first."""
    with Switch() as switch, ExitStack() as stack:
        host, neighbour = switch.machine("host"), switch.machine("neighbour")
        firewall = stack.enter_context(firewalld(host))
        firewall.start()
        daemon = stack.enter_context(Daemon(host))
        daemon.import_busybox()
        daemon.docker("network", "create", "net")
        words = ("run", "-d", "--name", "box", "--net", "net", "-p", "8080:80", "busybox")
        daemon.docker(*words, "sh", "-c", SERVE)
        yield Scene(host, neighbour, daemon, firewall)


def test_containers_reach_and_are_reached(scene: Scene) -> None:
    """Bridges are in Docker's zone, and what comes in by a published port is let through."""
    assert scene.zone("docker0") == scene.zone(scene.bridge()) == "docker"
    assert scene.firewall.cmd("--zone=docker", "--permanent", "--get-target") == "ACCEPT"
    assert "docker-forwarding" in scene.firewall.cmd("--get-policies").split()
    assert scene.reaches_out()
    eventually(scene.is_reached)


def test_firewalld_would_stop_them(scene: Scene) -> None:
    """In another zone, where somebody put it, the bridge stays, and nothing passes: so it counts."""
    bridge = scene.bridge()
    scene.firewall.cmd("--zone=public", f"--change-interface={bridge}")
    assert not scene.reaches_out()
    said = scene.daemon.fairlead("doctor", check=False).stdout
    assert f"~ zone    {bridge} in firewalld's zone docker, not public" in said
    said = scene.daemon.fairlead("doctor", "--fix").stdout
    assert "nft inet firewalld" not in said
    assert scene.zone(bridge) == "docker"
    assert scene.reaches_out()


def test_out_of_its_zone_it_comes_back(scene: Scene) -> None:
    """A bridge that is in no zone any more is damage."""
    bridge = scene.bridge()
    scene.firewall.cmd("--zone=docker", f"--remove-interface={bridge}")
    eventually(lambda: scene.zone(bridge) == "docker")
    assert scene.reaches_out()


@pytest.mark.parametrize("how", ["--reload", "--complete-reload"])
def test_firewalld_reads_all_anew(scene: Scene, how: str) -> None:
    """Whatever it forgets over that."""
    scene.firewall.cmd(how)
    eventually(lambda: scene.zone(scene.bridge()) == scene.zone("docker0") == "docker")
    eventually(scene.reaches_out)
    eventually(scene.is_reached)


def test_firewalld_ends_and_begins(scene: Scene) -> None:
    """Without it all goes on, networks come and go; one that starts later finds them."""
    scene.firewall.stop()
    eventually(scene.reaches_out)
    made = scene.daemon.docker("network", "create", "late").stdout[:12]
    scene.firewall.start()
    eventually(lambda: scene.zone(f"br-{made}") == "docker")
    eventually(lambda: scene.zone(scene.bridge()) == "docker")
    assert scene.reaches_out()
    scene.daemon.docker("network", "rm", "late")
    assert scene.zone(f"br-{made}") in ("no zone", "")
    assert f"br-{made}" not in scene.firewall.cmd("--zone=docker", "--list-interfaces").split()


def test_explained(scene: Scene) -> None:
    """Why the bridge is there."""
    said = scene.daemon.fairlead("explain", "net").stdout
    assert f"zone    {scene.bridge()} in firewalld's zone docker" in said


def test_under_the_other_firewall(scene: Scene) -> None:
    """With rules of nftables it is the same."""
    scene.daemon.restart("--firewall-backend=nftables")
    scene.firewall.cmd("--reload")
    eventually(lambda: scene.zone(scene.bridge()) == "docker")
    assert scene.reaches_out()
    eventually(scene.is_reached)
