"""What a container says that is not so: advertisements of routers, claims to addresses, names."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address

import pytest

from tests.docker.stage import eventually
from tests.security import frames, probe
from tests.security.scene import Family, Scene
from tests.security.wire import Wire

pytestmark = pytest.mark.root

ROUTER = ip_address("fe80::bad")
PREFIX = IPv6Address("2001:db8:bad::")


def advertise(wire: Wire) -> None:
    """Sends a router advertisement to everybody on the wire."""
    packet = frames.router_advertisement(ROUTER, wire.mac, PREFIX)
    wire.send_ip(frames.multicast_mac(frames.ALL_NODES), packet)


def offer_address(wire: Wire) -> None:
    """Sends a DHCPv6 reply that nobody asked for, with an address and a name server in it."""
    iaaddr = struct.pack("!HH16sII", 5, 24, (PREFIX + 7).packed, 3600, 3600)
    ia = struct.pack("!HHIII", 3, 12 + len(iaaddr), 1, 0, 0) + iaaddr
    server = struct.pack("!HH16s", 23, 16, (PREFIX + 53).packed)
    datagram = frames.udp(ROUTER, frames.ALL_NODES, (547, 546), b"\x07abc" + ia + server)
    wire.send_ip(frames.multicast_mac(frames.ALL_NODES), datagram)


def believed(on: Scene, name: str) -> str:
    """What of the forged prefix a place has taken over."""
    if name == "host":
        said = on.host.shell("ip -6 address; ip -6 route show table all").stdout
    else:
        said = on.daemon.docker("exec", name, "sh", "-c", "ip -6 address; ip -6 route").stdout
    return "\n".join(line for line in said.splitlines() if "bad" in line)


def test_a_forged_router(on: Scene) -> None:
    """Neither the host nor another container believes a container that says it is a router."""
    bridge = on.network("front")
    attacker = on.container("attacker", "--network front")
    on.container("victim", "--network front")
    # Nobody's machine has IPv6 off everywhere: the bridge has a link-local address, too.
    on.host.shell(f"sysctl -qw net.ipv6.conf.{bridge}.disable_ipv6=0")
    with Wire(attacker) as wire, Wire(on.places["host"], bridge) as bridged:

        def attack() -> None:
            advertise(wire)
            offer_address(wire)

        bridged.until(lambda s: s.source == ROUTER and s.protocol == frames.UDP, attack)
        for name in ("host", "victim"):
            assert believed(on, name) == ""
        assert on.places["host"].sysctl(f"net/ipv6/conf/{bridge}/accept_ra") == "0"

        # Who listens to advertisements is taken in at once: the attack is one.
        on.host.shell(f"sysctl -qw net.ipv6.conf.{bridge}.accept_ra=2")

        def taken_in() -> str:
            attack()
            return believed(on, "host")

        eventually(taken_in)


def test_no_interface_of_ours_listens_to_routers(on: Scene) -> None:
    """accept_ra is off on every bridge, and IPv6 on every cable that serves IPv4 alone."""
    bridge = on.network("front")
    on.container("web", "--network front")
    on.container("plain")
    host = on.places["host"]
    cables = on.host.shell("ls /sys/class/net | grep ^veth").stdout.split()
    assert len(cables) == 2
    for link in (bridge, "docker0"):
        assert host.sysctl(f"net/ipv6/conf/{link}/accept_ra") == "0"
    for link in cables:
        # As the port of a bridge it has no say of its own: what it hears, the bridge hears.
        assert on.host.shell(f"ip -6 route show dev {link} proto ra").stdout == ""
    for name in ("web", "plain"):
        assert on.places[name].sysctl("net/ipv6/conf/eth0/disable_ipv6") == "1"


def test_a_network_of_ipv4_alone_speaks_no_ipv6(on: Scene) -> None:
    """Its containers have no link-local address by which others on the segment reach them."""
    bridge = on.network("front")
    web = on.container("web", "--network front")
    assert "inet6" not in on.daemon.docker("exec", "web", "ip", "address", "show", "eth0").stdout
    with Wire(on.places["host"], bridge) as wire:
        mac = web.mac("eth0")
        gateway, address = (
            ip_address(on.endpoint("web", "front")[key]) for key in ("Gateway", "IPAddress")
        )
        source = ip_address("fe80::1")
        asked = frames.arp(1, (wire.mac, gateway), (b"\0" * 6, address))

        def attack() -> None:
            wire.send_ip(mac, frames.ping(source, frames.ALL_NODES))
            wire.send_ip(
                frames.multicast_mac(frames.ALL_NODES), frames.ping(source, frames.ALL_NODES)
            )
            wire.send(frames.ethernet(mac, wire.mac, frames.ETH_ARP, asked))

        wire.until(lambda s: s.kind == frames.ETH_ARP and s.source_mac == mac, attack)
        assert [s for s in wire.heard if s.kind == frames.ETH_IP6 and s.source_mac == mac] == []


def test_a_claim_to_anothers_address_stays_on_its_network(on: Scene) -> None:
    """Forged ARP deceives those on the same network at most: other networks and the wire never."""
    on.network("front")
    on.network("back")
    attacker = on.container("attacker", "--network front", 80)
    on.container("server", "--network back", 80)
    on.container("client", "--network back", 80)
    server = ip_address(on.endpoint("server", "back")["IPAddress"])
    with (
        Wire(attacker) as wire,
        Wire(on.places["client"]) as client,
        Wire(on.places["neighbour"]) as outside,
    ):
        own = ip_address(on.endpoint("attacker", "front")["IPAddress"])
        for target in (server, on.host.address, on.neighbour.address):
            claim = frames.arp(2, (wire.mac, target), (frames.BROADCAST, target))
            wire.send(frames.ethernet(frames.BROADCAST, wire.mac, frames.ETH_ARP, claim))
            # And packets in the name of others.
            wire.send_ip(
                on.places["host"].mac("docker0"), frames.udp(target, on.neighbour.address, (1, 9))
            )
        assert own != server
        assert probe.one(on.places["client"], server, "tcp", 80).startswith("server:80")
        assert probe.one(on.places["neighbour"], on.host.address, "icmp") != ""
        client.listen()
        outside.listen()
        assert wire.mac not in {seen.source_mac for seen in (*client.heard, *outside.heard)}


def test_no_address_of_a_container_leaves_the_host(on: Scene, family: Family) -> None:
    """Whatever a container sends, even what belongs to no connection, goes out translated."""
    bridge = on.network("front", family.create)
    attacker = on.container("attacker", "--network front")
    address = family.of(on.endpoint("attacker", "front"))
    neighbour = family.neighbour
    lie = frames.unreachable(address, neighbour, frames.udp(neighbour, address, (5, 6)))
    with Wire(attacker) as wire, Wire(on.places["neighbour"]) as outside:
        mac = on.places["host"].mac(bridge)

        def attack() -> None:
            for flags in (frames.RST, frames.RST | frames.ACK, frames.ACK, 0x11, 0x12, 0, 0x3F):
                wire.send_ip(mac, frames.tcp(address, neighbour, (1, 9), flags))
            wire.send_ip(mac, lie)
            for protocol in (41, 47, 132, 200):
                wire.send_ip(mac, frames.packet(address, neighbour, protocol, b"hello, world"))
            wire.send_ip(mac, frames.udp(address, neighbour, (1, 10)))

        def last(seen: frames.Seen) -> bool:
            return seen.protocol == frames.UDP and seen.ports[1] == 10

        outside.until(last, attack)
        assert [s for s in outside.heard if s.source == address] == []

        # Without the rule against what belongs to no connection, it leaves as it is.
        with on.opened(family, "forward"):
            outside.until(lambda s: s.source == address, attack)
