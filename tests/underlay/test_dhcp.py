"""macvlan whose addresses a DHCP server of the segment gives: Debian's dnsmasq on a machine there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.lab import Daemon, Machine
from tests.underlay import test_docs
from tests.underlay.landlord import Landlord
from tests.underlay.leases import Dnsmasq, served
from tests.underlay.words import address, host_pings, inside, pings, refused, run

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def server(other: Machine) -> Iterator[Dnsmasq]:
    """The server, on the second machine: 192.0.2.2."""
    with served(other) as running:
        yield running


@pytest.fixture
def dnsmasq(server: Dnsmasq) -> Dnsmasq:
    """The server, which serves."""
    if not server.serves:
        server.start()
    return server


@pytest.fixture
def silence(server: Dnsmasq) -> None:
    """No server on the segment."""
    server.stop()


def create(daemon: Daemon, *options: str, name: str = "lan") -> None:
    """A network whose addresses come by DHCP."""
    words = ("-d", "macvlan", "-o", "parent=eth0", "--ipam-driver", "dhcp", *options, name)
    daemon.docker("network", "create", *words)


def test_containers_have_addresses_of_the_segments_server(
    one: Daemon, dnsmasq: Dnsmasq, other: Machine
) -> None:
    """In its list by MAC and name; they reach it, each other and names that it knows."""
    create(one)
    here, near = run(one, "here", "lan"), run(one, "near_by", "lan", "--hostname", "Printer.7")
    let = dnsmasq.of(here)
    assert let is not None
    assert (let.mac, let.name) == (address(one, "here", "lan", "MacAddress"), "here")
    assert dnsmasq.of(near).name == "Printer-7"  # type: ignore[union-attr]
    assert f"inet {here}/24" in inside(one, "here", "ip addr show eth0")
    assert "default via 192.0.2.254 dev eth0" in inside(one, "here", "ip route")
    assert pings(one, "here", "192.0.2.2")
    assert pings(one, "here", "near_by")
    assert host_pings(other, here)
    assert "192.0.2.77" in inside(one, "here", "nslookup printer.example || true")
    (shown,) = json.loads(one.docker("network", "inspect", "lan").stdout)
    assert (shown["IPAM"]["Driver"], shown["IPAM"]["Config"]) == ("dhcp", None)
    assert sorted(c["IPv4Address"] for c in shown["Containers"].values()) == sorted(
        (f"{here}/24", f"{near}/24")
    )
    assert address(one, "here", "lan", "Gateway") == "192.0.2.254"
    told = one.fairlead("explain", "here").stdout
    assert "DHCP server 192.0.2.2 lets it to here on network lan, for 120 s at a time" in told
    # What ends is free for others at once; who starts again has what it had.
    one.docker("stop", "-t", "0", "here")
    eventually(lambda: dnsmasq.of(here) is None)
    one.docker("start", "here")
    assert address(one, "here", "lan") == here
    one.docker("network", "disconnect", "lan", "near_by")
    eventually(lambda: dnsmasq.of(near) is None)
    one.docker("network", "connect", "--ip", "192.0.2.118", "lan", "near_by")
    assert pings(one, "here", "192.0.2.118")
    text = refused(one, "run", "--network", "lan", "--ip", "192.0.2.118", "busybox", "true")
    assert "the address 192.0.2.118 cannot be had on eth0: 192.0.2.2 offers" in text


def test_the_host_and_its_containers(one: Daemon, dnsmasq: Dnsmasq, machine: Machine) -> None:
    """The host reaches them by a link without an address of its own."""
    create(one, "-o", "fairlead.host_access=true")
    here = run(one, "here", "lan")
    assert host_pings(machine, here)
    assert pings(one, "here", str(machine.address))


def test_the_example_of_the_docs(one: Daemon, dnsmasq: Dnsmasq) -> None:
    """Shows an address of the server's."""
    assert "inet 192.0.2.1" in test_docs.run(one, test_docs.LEASED)


def test_a_daemons_end_is_no_end_of_a_lease(one: Daemon, dnsmasq: Dnsmasq) -> None:
    """It goes on with what it let; what ended meanwhile is given back by the next one."""
    create(one)
    stays, goes = run(one, "stays", "lan"), run(one, "goes", "lan")
    pid = one.docker("inspect", "-f", "{{.State.Pid}}", "goes").stdout.strip()
    one.kill9()
    one.machine.run(["kill", "-9", pid])
    one.start()
    eventually(lambda: dnsmasq.of(goes) is None)
    assert dnsmasq.of(stays)
    assert address(one, "stays", "lan") == stays
    assert pings(one, "stays", "192.0.2.2")


@pytest.mark.usefixtures("silence")
def test_without_a_server_nothing_is_left(one: Daemon) -> None:
    """A start fails with a line that says where nobody answered."""
    create(one)
    text = refused(one, "run", "--name", "lonely", "--network", "lan", "busybox", "true")
    assert "no DHCP server answered on eth0" in text
    one.docker("rm", "lonely")


@pytest.mark.usefixtures("silence")
def test_a_lease_is_renewed_until_another_is_given(one: Daemon, other: Machine) -> None:
    """By a server that lets for seconds, and before each of whose words somebody forges others."""
    create(one)
    with Landlord(other, "192.0.2.150") as landlord:
        first = run(one, "tenant", "lan")
        assert first == "192.0.2.150"
        run(one, "near", "lan")
        eventually(lambda: landlord.heard.count("renew 192.0.2.150") > 1)
        landlord.gives("192.0.2.170")
        eventually(lambda: address(one, "tenant", "lan") != first)
        second = address(one, "tenant", "lan")
        assert second.startswith("192.0.2.17")
        shown = inside(one, "tenant", "ip -o -4 addr show eth0; cat /etc/hosts")
        assert second in shown
        assert first not in shown
        assert host_pings(other, second)
        assert pings(one, "near", "tenant")
        assert "gave it another" in one.log
        one.docker("rm", "-f", "tenant")
        eventually(lambda: f"release {second}" in landlord.heard)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-d", "bridge"), "which a bridge network is not"),
        (("-d", "macvlan"), "needs a parent"),
        (("-d", "macvlan", "-o", "parent=eth0", "--subnet", "192.0.2.0/24"), "which subnet it is"),
        (("-d", "macvlan", "-o", "parent=eth0", "--ipv6"), "IPv4 alone"),
        (("-d", "ipvlan", "-o", "parent=eth0", "-o", "ipvlan_mode=l3"), "hears no broadcasts"),
        (("-d", "macvlan", "-o", "parent=eth0", "-o", "macvlan_mode=passthru"), "mode passthru"),
    ],
)
def test_what_it_does_not_go_with(one: Daemon, options: tuple[str, ...], said: str) -> None:
    """One line each, and no network."""
    assert said in refused(one, "network", "create", "--ipam-driver", "dhcp", *options, "lan")
