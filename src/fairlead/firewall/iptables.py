"""iptables: a policy in the layout that Docker 20.10 made known, hardened as in 28.

::

    filter FORWARD ──► P-USER (the user's) ──► P-ISOLATION-STAGE-1 ──► P-FORWARD ──► P
    nat    PREROUTING, OUTPUT (to this host) ──► P (DNAT)      POSTROUTING: masquerade
    raw    PREROUTING ──► P-DIRECT

P is the prefix, DOCKER unless set otherwise. STAGE-1 catches what leaves one of
our bridges for elsewhere, STAGE-2 drops it if elsewhere is another of our
bridges; people open a pair by replacing a rule of STAGE-2, and the order there
is the order in which networks were made. P-DIRECT drops packets that come from
outside for a container's own address, before any NAT: a neighbour can add a
route to our subnets, but gets nowhere. It lets pass what comes from our own
bridges, because STAGE-2 judges that.

New rules go to the top, to the end, or above a fixed last line: elsewhere
iptables reads the whole chain before it inserts one, and a chain may have a line
for each of a thousand networks. So what stands on one side of another network's
lines must not mind them: what closes a network may stand among what leads to
STAGE-2, because neither lets anything pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from fairlead.firewall.kept import Kept
from fairlead.firewall.policy import (
    BridgePolicy,
    Habits,
    LinkPolicy,
    Mark,
    Policy,
    PortPolicy,
)
from fairlead.model.iptables import FAMILIES, Chain, Rule
from fairlead.model.iptables import Policy as Verdict
from fairlead.model.marks import Marks
from fairlead.model.options import Mode
from fairlead.model.state import IPAddress, Resource

RETURN = "-j RETURN"
LOCAL = "-m addrtype --dst-type LOCAL"
LED = "-m conntrack --ctstate DNAT"
UNLED = "-m conntrack ! --ctstate DNAT"
KNOWN = "-m conntrack --ctstate RELATED,ESTABLISHED"
STRAY = "-m conntrack --ctstate INVALID"
CLAMP = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"


@dataclass(frozen=True, slots=True)
class PortRules:
    """The rules for the ports of one sandbox: newest first in `opened`, oldest first elsewhere."""

    opened: tuple[str, ...]
    led: tuple[str, ...]
    looped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BridgeRules:
    """What one network has in each chain."""

    first: tuple[str, ...] = ()
    """Of STAGE-1, as `second` is of STAGE-2."""
    second: tuple[str, ...] = ()
    arriving: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    """What becomes of packets for the network that no door let in."""
    returned: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()


NOTHING = BridgeRules()


class IptablesRenderer:
    """Renders for one address family."""

    name = "iptables"
    whole = True

    def __init__(self, marks: Marks, version: int, habits: Habits) -> None:
        self.marks = marks
        self.habits = habits
        self.version = version
        self.family = FAMILIES[version]
        self.prefix = marks.prefix
        self._ports = Kept(self._port_rules)
        self._bridges = Kept(self._bridge_rules)

    def base(self, policy: Policy) -> Iterator[Resource]:
        """Every chain, and the jumps to them from the built-in ones."""
        bridges = [made for made in self._bridges.all(policy.bridges) if made is not NOTHING]
        ports = self._ports.all(policy.ports)
        links = [link for linked in policy.links.values() for link in linked]
        linked = [r for link in links if link.server.version == self.version for r in _linked(link)]
        yield from self._filter(bridges, ports, linked)
        yield from self._nat(bridges, ports)
        if self.habits.raw:
            yield from self._raw(bridges, ports)
        if self.version in policy.drop_strangers:
            yield Verdict(self.family, "filter", "FORWARD", "DROP")
        if clamped := [rule for b in bridges for rule in b.clamped]:
            yield self._marker("mangle")
            yield self._rule("mangle", "FORWARD", f"-j {self.prefix}-MSS")
            yield self._chain("mangle", "-MSS", clamped)

    def of_bridge(self, bridge: BridgePolicy) -> Iterator[Resource]:
        """What shows the world another address than the containers'."""
        if bridge.masquerade:
            target = f"SNAT --to-source {bridge.snat}" if bridge.snat else "MASQUERADE"
            spec = f"-s {bridge.subnet} ! -o {bridge.ifname} -j {target}"
            yield self._rule("nat", "POSTROUTING", spec)
        if not self.habits.proxied and not bridge.internal:
            # The host asks from its loopback, to which no container could answer; and whoever was
            # led back to his own network would be answered past the host.
            near = f"-o {bridge.ifname} -m addrtype --src-type LOCAL -j MASQUERADE"
            back = f"-s {bridge.subnet} -o {bridge.ifname} {LED} -j MASQUERADE"
            yield self._rule("nat", "POSTROUTING", near)
            yield self._rule("nat", "POSTROUTING", back)

    def of_ports(self, ports: Iterable[PortPolicy]) -> Iterator[Resource]:
        """Nothing: the chains list them."""
        yield from ()

    def of_links(self, links: Iterable[LinkPolicy]) -> Iterator[Resource]:
        """Nothing: the chains list them."""
        yield from ()

    # What one sandbox and one network have in the chains

    def _port_rules(self, ports: tuple[PortPolicy, ...]) -> PortRules:
        mine = [port for port in ports if port.address.version == self.version]
        return PortRules(
            tuple(rule for port in reversed(mine) for rule in self._opened(port)),
            tuple(self._dnat(port) for port in mine if port.host_port),
            tuple(_looped(port) for port in mine if port.host_ip.is_loopback and port.host_port),
        )

    def _bridge_rules(self, families: tuple[BridgePolicy, ...]) -> BridgeRules:
        bridge = next((b for b in families if b.subnet.version == self.version), None)
        if bridge is None:
            return NOTHING
        b, subnet = bridge.ifname, bridge.subnet
        # The bridge routes the host's loopback then; a container is not to reach it.
        unguarded = not self.habits.proxied and self.version == 4
        loopback = (f"-d 127.0.0.0/8 -i {b} -j DROP",) if unguarded else ()
        rules = BridgeRules(
            leaving=(f"-i {b} -o {b} -j {'ACCEPT' if bridge.icc else 'DROP'}",),
            own=(*loopback, f"-i {b} {RETURN}"),
            clamped=tuple(f"-{way} {b} {CLAMP}" for way in "io") if bridge.mss_clamp else (),
        )
        if not bridge.direct and not bridge.answered and not self.habits.direct:
            trusted = (f"-d {subnet} -i {name} {RETURN}" for name in bridge.trusted)
            closed = f"-d {subnet} -m addrtype ! --dst-type LOCAL -j DROP"
            rules = replace(rules, direct=(*trusted, closed))
        if bridge.internal:
            # Neighbours find each other by multicast, which passes here if bridges are filtered.
            near, here = (f"! -i {b} ", f"! -o {b} ") if self.version == 6 else ("", "")
            out, in_ = f"! -s {subnet} {near}-o {b} -j DROP", f"! -d {subnet} -i {b} {here}-j DROP"
            return replace(rules, first=(out, in_))
        return self._way_out(rules, bridge)

    def _way_out(self, rules: BridgeRules, bridge: BridgePolicy) -> BridgeRules:
        """What a network has in the chains because it is not internal."""
        b, p = bridge.ifname, self.prefix
        # What other networks send to a routed one is judged by its door alone.
        routed = bridge.mode is Mode.ROUTED
        # Without a proxy in between it is the kernel that leads from network to published port.
        led = "" if self.habits.proxied else f" {UNLED}"
        accepted = self.habits.accepted
        passed = [f"! -i {b} -o {b} {_marked(accepted)} -j ACCEPT"] if accepted else []
        return replace(
            rules,
            first=(
                *([f"-i {b} {KNOWN} -j ACCEPT"] if routed else []),
                f"-i {b} ! -o {b}{led} -j {p}-ISOLATION-STAGE-2",
            ),
            second=() if routed else (f"-o {b} -j DROP",),
            arriving=(*passed, f"-o {b} {KNOWN} -j ACCEPT", f"-o {b} -j {p}"),
            leaving=(
                # What belongs to no connection is not translated: it would leave as it is.
                *([f"-i {b} ! -o {b} {STRAY} -j DROP"] if bridge.masquerade else []),
                f"-i {b} ! -o {b} -j ACCEPT",
                *rules.leaving,
            ),
            last=self._last(bridge),
            returned=(f"-i {b} {RETURN}",) if self.habits.proxied else (),
        )

    def _last(self, bridge: BridgePolicy) -> tuple[str, ...]:
        here = f"! -i {bridge.ifname} -o {bridge.ifname}"
        if bridge.mode is Mode.UNPROTECTED:
            return (f"{here} -j ACCEPT",)
        icmp = f"{here} -p {'icmp' if self.version == 4 else 'ipv6-icmp'} -j ACCEPT"
        return (*((icmp,) if bridge.mode is Mode.ROUTED else ()), f"{here} -j DROP")

    # The chains

    def _chain(self, table: str, suffix: str, rules: list[str], theirs: bool = False) -> Chain:
        return Chain(self.family, table, self.prefix + suffix, tuple(rules), theirs)

    def _marker(self, table: str) -> Chain:
        return Chain(self.family, table, self.marks.chain, ())

    def _rule(self, table: str, chain: str, spec: str, place: int = 0) -> Rule:
        return Rule(self.family, table, chain, spec, place)

    def _filter(
        self, bridges: list[BridgeRules], ports: list[PortRules], linked: list[str]
    ) -> Iterator[Resource]:
        p = self.prefix
        yield self._marker("filter")
        yield self._chain("filter", "-USER", [RETURN], theirs=True)
        yield self._rule("filter", "FORWARD", f"-j {p}-USER", 1)
        yield self._rule("filter", "FORWARD", f"-j {p}-ISOLATION-STAGE-1", 2)
        yield self._rule("filter", "FORWARD", f"-j {p}-FORWARD", 3)
        first = [rule for b in bridges for rule in b.first]
        second = [rule for b in bridges for rule in b.second]
        yield self._chain("filter", "-ISOLATION-STAGE-1", [*first, RETURN])
        yield self._chain("filter", "-ISOLATION-STAGE-2", [*second, RETURN])
        # Where a packet goes to judges before where it comes from: a routed network's door is
        # not opened by the other network's leave to go out.
        arriving = [rule for b in reversed(bridges) for rule in b.arriving]
        leaving = [rule for b in bridges for rule in b.leaving]
        yield self._chain("filter", "-FORWARD", [*arriving, *leaving])
        # One container port may be published twice: the door is the same.
        opened = list(dict.fromkeys(rule for port in reversed(ports) for rule in port.opened))
        last = [rule for b in bridges for rule in b.last]
        yield self._chain("filter", "", [*opened, *linked, *last])

    def _nat(self, bridges: list[BridgeRules], ports: list[PortRules]) -> Iterator[Resource]:
        p = self.prefix
        loopback = "127.0.0.0/8" if self.version == 4 else "::1/128"
        yield self._marker("nat")
        yield self._rule("nat", "PREROUTING", f"{LOCAL} -j {p}")
        # Connections to the loopback are the proxy's: there is no route back from a container.
        # From ::1 the kernel sends nothing to a container, so there is a proxy for it always.
        but = f"! -d {loopback} " if self.habits.proxied or self.version == 6 else ""
        yield self._rule("nat", "OUTPUT", f"{but}{LOCAL} -j {p}")
        returned = [rule for b in reversed(bridges) for rule in b.returned]
        led = [rule for port in ports for rule in port.led]
        yield self._chain("nat", "", [*returned, *led])

    def _raw(self, bridges: list[BridgeRules], ports: list[PortRules]) -> Iterator[Resource]:
        yield self._marker("raw")
        yield self._rule("raw", "PREROUTING", f"-j {self.prefix}-DIRECT")
        looped = [rule for port in ports for rule in port.looped]
        own = [rule for b in reversed(bridges) for rule in b.own]
        accepted = self.habits.accepted
        marked = [f"{_marked(accepted)} {RETURN}"] if accepted else []
        direct = [rule for b in bridges for rule in b.direct]
        yield self._chain("raw", "-DIRECT", [*looped, *own, *marked, *direct])

    def _opened(self, port: PortPolicy) -> Iterator[str]:
        to, there = f"-d {_host(port.address)}", f"-o {port.ifname}"
        door = f"-p {port.protocol} -m {port.protocol} --dport {port.port}"
        led = f" {LED}" if port.led and not self.habits.direct else ""
        yield f"{to} ! -i {port.ifname} {there} {door}{led} -j ACCEPT"
        for name in port.trusted:
            yield f"{to} -i {name} {there} {door} -j ACCEPT"
        if not self.habits.proxied and port.host_port:
            # It is published for everybody, whatever icc says of neighbours.
            yield f"{to} -i {port.ifname} {there} {door} {LED} -j ACCEPT"

    def _dnat(self, port: PortPolicy) -> str:
        wild = port.host_ip in (IPv4Address("0.0.0.0"), IPv6Address("::"))
        to_host = "" if wild else f"-d {_host(port.host_ip)} "
        target = f"[{port.address}]" if port.address.version == 6 else str(port.address)
        # A neighbour on the link asks from such an address; no container could answer it.
        near = "! -s fe80::/10 " if self.version == 6 else ""
        elsewhere = f"! -i {port.ifname} " if self.habits.proxied else ""
        return (
            f"{near}{to_host}{elsewhere}-p {port.protocol} -m {port.protocol} "
            f"--dport {port.host_port} -j DNAT --to-destination {target}:{port.port}"
        )


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _looped(port: PortPolicy) -> str:
    return (
        f"-d {_host(port.host_ip)} ! -i lo -p {port.protocol} -m {port.protocol} "
        f"--dport {port.host_port} -j DROP"
    )


def _marked(mark: Mark) -> str:
    mask = "" if mark.mask == 0xFFFFFFFF else f"/{mark.mask:#x}"
    return f"-m mark --mark {mark.value:#x}{mask}"


def _linked(link: LinkPolicy) -> Iterator[str]:
    there = f"-i {link.ifname} -o {link.ifname} -p {link.protocol} -m {link.protocol}"
    client, server = _host(link.client), _host(link.server)
    yield f"-s {client} -d {server} {there} --dport {link.port} -j ACCEPT"
    yield f"-s {server} -d {client} {there} --sport {link.port} -j ACCEPT"
