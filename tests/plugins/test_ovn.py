"""A network driver that nobody here wrote: Debian's ovn-docker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine, Switch
from tests.plugins.ovn import NAME, Ovn

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine on a switch."""
    with Switch() as switch:
        yield switch.machine("host")


@pytest.fixture(scope="module")
def ovn(machine: Machine) -> Iterator[Ovn]:
    """OVN on it."""
    with Ovn(machine, str(machine.address)) as running:
        yield running


@pytest.fixture
def lan(machine: Machine, ovn: Ovn) -> Iterator[Lan]:
    """A daemon beside it."""
    with Daemon(machine) as daemon:
        daemon.import_busybox()
        yield Lan(daemon, machine)


def test_containers_on_its_network(lan: Lan, ovn: Ovn) -> None:
    """They reach each other through OVN and the world through docker_gwbridge, and all of it goes."""
    id_ = lan.create("red", f"-d {NAME} --subnet 10.50.0.0/24")
    assert lan.network("red")["Scope"] == "global"
    assert id_ in ovn.run("ovn-nbctl", "--db=unix:/run/ovn/ovnnb_db.sock", "ls-list")
    for name in ("aa", "bb"):
        lan.run(name, "--network red")
    assert lan.address("aa", "red") == "10.50.0.2"
    eventually(lambda: lan.reaches("aa", "10.50.0.3"))
    assert lan.reaches("bb", "aa")
    flows = ovn.run("ovs-ofctl", "dump-ports", "br-int")
    assert "port" in flows
    ways = lan.inside("aa", "ip route")
    assert "10.50.0.0/24 dev eth0" in ways
    assert "default via 172.18.0.1 dev eth1" in ways
    assert len(lan.network("docker_gwbridge")["Containers"]) == 2
    mac = lan.inside("aa", "cat /sys/class/net/eth0/address").strip()
    assert mac == lan.endpoints("aa")["red"]["MacAddress"]
    lan.docker("network", "disconnect", "red", "bb")
    assert not lan.reaches("aa", "10.50.0.3")
    lan.docker("rm", "-f", "aa", "bb")
    assert len(ovn.run("ovs-vsctl", "list-ports", "br-int").split()) == 0
    lan.docker("network", "rm", "red")
    assert id_ not in ovn.run("ovn-nbctl", "--db=unix:/run/ovn/ovnnb_db.sock", "ls-list")
