"""Tunnels: who is heard on a network that spans hosts, and what leaves this one.

VXLAN has no sender to believe: each attack is first made with success. The machines have no
daemon; the rules are written as the kernel adapter writes them.

::

    known    ┐
    stranger ┴ switch ─ host: ours, theirs (VNIs 256 and 257), a service on UDP port 9999
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from fairlead.firewall import tunnels
from fairlead.kernel.nftables import render
from fairlead.kernel.xfrm import Xfrm
from fairlead.model.marks import Marks
from fairlead.model.state import Resource, state
from fairlead.model.step import Step
from fairlead.model.tunnel import PORT, SEALED_PORT
from fairlead.model.xfrm import XfrmBlock, XfrmDemand
from fairlead.plan.diff import diff
from tests.lab import Machine, Switch
from tests.security import frames
from tests.security.frames import IP, Seen
from tests.security.place import Place, of_machine
from tests.security.wire import Wire

pytestmark = pytest.mark.root

MARKS = Marks("c0ffee00", "TEST")
OURS, THEIRS = 256, 257
ATTACK, BARRIER = 6666, 7777
FRAGMENT = 44


def vxlan(vni: int, mark: int, source: int = 1) -> bytes:
    """What a datagram to the tunnel's port holds: a frame in which a datagram goes to `mark`."""
    inner = frames.udp(ip_address(f"10.77.0.{source}"), ip_address("10.77.0.2"), (1, mark))
    head = struct.pack("!II", 0x08000000, vni << 8)
    return head + frames.ethernet(frames.BROADCAST, b"\x02\x42\0\0\0\1", frames.ETH_IP, inner)


class Field:
    """The three machines, and ears on the host's tunnels."""

    def __init__(self, switch: Switch, stack: ExitStack, version: int, port: int = PORT) -> None:
        self.version = version
        self.port = port
        """Where our network is spoken."""
        self.host, *others = (switch.machine(name) for name in ("host", "known", "stranger"))
        self.addresses: dict[str, IP] = {}
        for number, machine in enumerate((self.host, *others), 1):
            six = ip_address(f"2001:db8::{number}")
            machine.shell(f"ip -6 addr add {six}/64 dev eth0 nodad")
            self.addresses[machine.name] = six if version == 6 else machine.address
        for name, vni, at in (("ours", OURS, port), ("theirs", THEIRS, PORT)):
            self.host.shell(
                f"ip link add {name} type vxlan id {vni} dstport {at} nolearning"
                f" local {self.addresses['host']}\nip link set {name} address 02:42:00:00:00:09 up"
            )
        self.places: dict[str, Place] = {}
        for machine in (self.host, *others):
            place = self.places[machine.name] = of_machine(machine)
            stack.callback(place.close)
        self.ours = stack.enter_context(Wire(self.places["host"], "ours"))
        self.theirs = stack.enter_context(Wire(self.places["host"], "theirs"))

    def rules(self, *resources: Resource) -> None:
        """Writes the table and these elements."""
        own = self.addresses["host"]
        want = state([*tunnels.base(MARKS, own), *tunnels.sealed(MARKS), *resources])
        apply(self.host, diff(want, {}))

    def send(self, name: str, payload: bytes, port: int = PORT) -> None:
        """A machine sends the host a datagram."""
        family = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        with self.places[name].socket(family, socket.SOCK_DGRAM) as sock:
            sock.sendto(payload, (str(self.addresses["host"]), port))

    def hears(self, name: str, attack: bytes | None = None) -> bool:
        """Whether the host hears a frame of a machine on our network.

        `attack` is a packet that is sent as it is, instead of a datagram like any other.
        """
        self.ours.listen()
        self.ours.heard.clear()
        with Wire(self.places[name]) as wire:
            for _ in range(3):
                if attack is None:
                    self.send(name, vxlan(OURS, ATTACK), self.port)
                else:
                    for packet in pieces(attack):
                        wire.send_ip(self.places["host"].mac("eth0"), packet)
        # The same way, to a network that nobody guards: what came before has had its chance.
        self.theirs.until(marked(BARRIER), lambda: self.send(name, vxlan(THEIRS, BARRIER)))
        self.ours.listen(0)
        return any(marked(ATTACK)(seen) for seen in self.ours.heard)


def apply(machine: Machine, steps: tuple[Step, ...]) -> None:
    """Steps of nftables, in a machine."""
    machine.run(["nft", "-f", "-"], stdin=render(steps))


def marked(port: int) -> Callable[[Seen], bool]:
    """Whether a frame goes to a port."""
    return lambda seen: seen.ports[1] == port


def pieces(packet: bytes) -> list[bytes]:
    """A packet cut behind the first 8 bytes of its payload, where no VNI is yet."""
    if packet[0] >> 4 == 4:
        first = packet[:2] + struct.pack("!HHH", 28, 0x1234, 0x2000) + packet[8:10] + b"\0\0"
        first += packet[12:28]
        rest = packet[:2] + struct.pack("!HHH", len(packet) - 8, 0x1234, 1) + packet[8:10] + b"\0\0"
        rest += packet[12:20] + packet[28:]
        return [p[:10] + struct.pack("!H", frames.checksum(p[:20])) + p[12:] for p in (first, rest)]
    payload, found = packet[40:], []
    for offset, more, part in ((0, 1, payload[:8]), (8, 0, payload[8:])):
        head = struct.pack("!BBHI", packet[6], 0, offset | more, 77)
        found.append(
            packet[:4] + struct.pack("!HB", 8 + len(part), FRAGMENT) + packet[7:40] + head + part
        )
    return found


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def field(switch: Switch, request: pytest.FixtureRequest) -> Iterator[Field]:
    """The machines, with tunnels over one family."""
    with ExitStack() as stack:
        yield Field(switch, stack, request.param)


def known(field: Field, encrypted: bool = False) -> list[Resource]:
    """Our network, and the one host on which it has containers."""
    return [
        *tunnels.of_network(MARKS, OURS, encrypted),
        *tunnels.of_peer(MARKS, OURS, field.addresses["known"], encrypted),
    ]


def test_only_known_hosts_are_heard(field: Field) -> None:
    """A frame of our VNI arrives from a host of the network, and from nobody else."""
    assert field.hears("stranger"), "the attack is none"

    field.rules(*known(field))

    assert field.hears("known")
    assert not field.hears("stranger")
    # Somebody's ACCEPT in front of everything is not about this.
    field.host.shell("iptables -I INPUT -j ACCEPT; ip6tables -I INPUT -j ACCEPT")
    assert not field.hears("stranger")
    family = socket.AF_INET6 if field.version == 6 else socket.AF_INET
    with field.places["host"].socket(family, socket.SOCK_DGRAM) as service:
        service.bind((str(field.addresses["host"]), 9999))
        service.settimeout(15)
        field.send("stranger", vxlan(OURS, ATTACK), 9999)
        assert service.recv(1000) == vxlan(OURS, ATTACK)


def test_datagrams_in_pieces(field: Field) -> None:
    """A VNI that stands in the second piece is not overlooked."""
    ends = (field.addresses["stranger"], field.addresses["host"])
    cut = frames.udp(*ends, (PORT, PORT), vxlan(OURS, ATTACK))
    assert field.hears("stranger", cut), "the attack is none"

    field.rules(*known(field))

    assert not field.hears("stranger", cut)


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def sealed(switch: Switch, request: pytest.FixtureRequest) -> Iterator[Field]:
    """The machines, our network at the port of those that are encrypted."""
    with ExitStack() as stack:
        yield Field(switch, stack, request.param, SEALED_PORT)


def test_an_encrypted_network_is_closed_from_the_start(sealed: Field) -> None:
    """Without any peer, and from a known one: nothing comes in the clear, nothing leaves so."""
    _joined(sealed)
    with Wire(sealed.places["known"]) as wire:
        assert _leaves(sealed, wire), "nothing to keep in"
        assert sealed.hears("known"), "the attack is none"

        sealed.rules(*tunnels.of_network(MARKS, OURS, encrypted=True))
        assert not _leaves(sealed, wire)
        assert not sealed.hears("known")

        apply(sealed.host, diff(state(known(sealed, encrypted=True)[-1:]), {}))
        assert not sealed.hears("known")
        assert not _leaves(sealed, wire)


def test_an_encrypted_network_is_closed_without_any_table(sealed: Field) -> None:
    """IPsec sees to it by itself: somebody may flush all that nftables has."""
    _joined(sealed)
    wanted: list[Resource] = [XfrmBlock(sealed.version), XfrmDemand(sealed.version)]
    sealed.places["host"].there(lambda: _seal([Step(None, item) for item in wanted]))
    sealed.host.shell("nft flush ruleset")
    with Wire(sealed.places["known"]) as wire:
        assert not _leaves(sealed, wire)
        assert not sealed.hears("known")

        sealed.places["host"].there(lambda: _seal([Step(item, None) for item in wanted]))
        assert _leaves(sealed, wire)
        assert sealed.hears("known")


def _seal(steps: list[Step]) -> None:
    """Steps of IPsec, where one is."""
    xfrm = Xfrm(MARKS)
    xfrm.take(steps)
    xfrm.close()


def _joined(field: Field) -> None:
    """The host has an address on either network, and sends what is for all to the known one."""
    there = str(field.addresses["known"])
    for name in ("ours", "theirs"):
        field.host.shell(
            f"ip addr add 10.{77 + (name == 'theirs')}.0.2/24 dev {name}\n"
            f"bridge fdb append 00:00:00:00:00:00 dev {name} dst {there}"
        )


def _leaves(field: Field, wire: Wire) -> bool:
    """Whether a frame of our network is seen, before one of another is."""
    wire.listen()
    wire.heard.clear()
    for net, vni in (("77", OURS), ("78", THEIRS)):
        with field.places["host"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.sendto(b"?", (f"10.{net}.0.255", ATTACK))
        if vni == THEIRS:
            wire.until(lambda seen: spoken(seen) == THEIRS, lambda: None)
    return any(spoken(seen) == OURS for seen in wire.heard)


def spoken(seen: Seen) -> int:
    """The VNI of a captured VXLAN packet; 0 if it is none."""
    if seen.ports[1] not in (PORT, SEALED_PORT) or len(seen.payload) < 8:
        return 0
    return int(struct.unpack_from("!I", seen.payload, 4)[0]) >> 8


def test_packets_of_our_tunnels_are_no_connections(field: Field) -> None:
    """They are not tracked; those of somebody else's tunnels are."""
    field.rules(*known(field))
    field.host.run(
        ["nft", "-f", "-"],
        stdin=f"""table inet judge {{
            counter ours {{}}
            counter theirs {{}}
            chain enter {{
                type filter hook input priority filter
                ct state untracked udp dport 4789 @th,96,24 {OURS} counter name ours
                ct state new,established udp dport 4789 @th,96,24 {THEIRS} counter name theirs
            }}
        }}""",
    )

    assert field.hears("known")

    counters = field.host.shell("nft list counters table inet judge").stdout
    assert counters.count("counter ") == 2
    assert "packets 0 " not in counters
