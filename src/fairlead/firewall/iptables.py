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

New rules go to the top or above a fixed last line, so that a change is an
insertion and the rest of a chain is not written anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from fairlead.firewall.kept import Kept
from fairlead.firewall.policy import BridgePolicy, LinkPolicy, Manners, Mark, Policy, PortPolicy
from fairlead.model.marks import Marks
from fairlead.model.options import Mode
from fairlead.model.state import Chain, IPAddress, Resource, Rule
from fairlead.model.state import Policy as Verdict

FAMILY = {4: "ip", 6: "ip6"}
RETURN = "-j RETURN"
LOCAL = "-m addrtype --dst-type LOCAL"
KNOWN = "-m conntrack --ctstate RELATED,ESTABLISHED"
CLAMP = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"


@dataclass(frozen=True, slots=True)
class PortRules:
    """The rules for the ports of one sandbox: newest first in `opened`, oldest first elsewhere."""

    opened: tuple[str, ...]
    led: tuple[str, ...]
    looped: tuple[str, ...]


class IptablesRenderer:
    """Renders for one address family."""

    name = "iptables"

    def __init__(self, marks: Marks, version: int = 4) -> None:
        self.marks = marks
        self.version = version
        self.family = FAMILY[version]
        self.prefix = marks.prefix
        self._ports = Kept(self._port_rules)

    def resources(self, policy: Policy) -> Iterator[Resource]:
        """Every chain, and our rules in the built-in ones."""
        bridges = [
            b
            for network in policy.bridges.values()
            for b in network
            if b.subnet.version == self.version
        ]
        doors = self._ports.all(policy.ports)
        links = [link for linked in policy.links.values() for link in linked]
        linked = [r for link in links if link.server.version == self.version for r in _linked(link)]
        yield from self._filter(bridges, doors, linked, policy.manners)
        yield from self._nat(bridges, doors)
        yield from self._raw(bridges, doors, policy.manners)
        if self.version in policy.manners.drop_strangers:
            yield Verdict(self.family, "filter", "FORWARD", "DROP")
        if any(b.mss_clamp for b in bridges):
            yield from self._mangle(bridges)

    def _port_rules(self, ports: tuple[PortPolicy, ...]) -> PortRules:
        mine = [port for port in ports if port.address.version == self.version]
        return PortRules(
            tuple(_opened(port) for port in reversed(mine)),
            tuple(self._dnat(port) for port in mine if port.host_port),
            tuple(_looped(port) for port in mine if port.host_ip.is_loopback and port.host_port),
        )

    def _chain(self, table: str, suffix: str, rules: list[str], theirs: bool = False) -> Chain:
        return Chain(self.family, table, self.prefix + suffix, tuple(rules), theirs)

    def _marker(self, table: str) -> Chain:
        return Chain(self.family, table, self.marks.chain, ())

    def _rule(self, table: str, chain: str, spec: str, place: int = 0) -> Rule:
        return Rule(self.family, table, chain, spec, place)

    def _filter(
        self,
        bridges: list[BridgePolicy],
        ports: list[PortRules],
        linked: list[str],
        manners: Manners,
    ) -> Iterator[Resource]:
        p = self.prefix
        yield self._marker("filter")
        yield self._chain("filter", "-USER", [RETURN], theirs=True)
        yield self._rule("filter", "FORWARD", f"-j {p}-USER", 1)
        yield self._rule("filter", "FORWARD", f"-j {p}-ISOLATION-STAGE-1", 2)
        yield self._rule("filter", "FORWARD", f"-j {p}-FORWARD", 3)
        yield from self._isolation(bridges)
        forward = [rule for b in bridges for rule in self._forward(b, manners.accepted)]
        yield self._chain("filter", "-FORWARD", forward)
        # One container port may be published twice: the door is the same.
        opened = list(dict.fromkeys(rule for port in reversed(ports) for rule in port.opened))
        last = [rule for b in bridges if not b.internal for rule in self._last(b)]
        yield self._chain("filter", "", [*opened, *linked, *last])

    def _isolation(self, bridges: list[BridgePolicy]) -> Iterator[Resource]:
        ways = [b for b in bridges if not b.internal]
        routed = [
            rule
            for b in ways
            if b.mode is Mode.ROUTED
            for rule in (f"-i {b.ifname} {KNOWN} -j ACCEPT", f"-o {b.ifname} {RETURN}")
        ]
        internal = [
            rule
            for b in bridges
            if b.internal
            for rule in (
                f"! -s {b.subnet} -o {b.ifname} -j DROP",
                f"! -d {b.subnet} -i {b.ifname} -j DROP",
            )
        ]
        first = [f"-i {b.ifname} ! -o {b.ifname} -j {self.prefix}-ISOLATION-STAGE-2" for b in ways]
        second = [f"-o {b.ifname} -j DROP" for b in ways]
        stage = [*internal, *routed, *first, RETURN]
        yield self._chain("filter", "-ISOLATION-STAGE-1", stage)
        yield self._chain("filter", "-ISOLATION-STAGE-2", [*second, RETURN])

    def _last(self, bridge: BridgePolicy) -> Iterator[str]:
        """What becomes of packets for a network that no door let in."""
        here = f"! -i {bridge.ifname} -o {bridge.ifname}"
        if bridge.mode is Mode.UNPROTECTED:
            yield f"{here} -j ACCEPT"
            return
        if bridge.mode is Mode.ROUTED:
            yield f"{here} -p {'icmp' if self.version == 4 else 'ipv6-icmp'} -j ACCEPT"
        yield f"{here} -j DROP"

    def _forward(self, bridge: BridgePolicy, accepted: Mark | None) -> Iterator[str]:
        b = bridge.ifname
        if not bridge.internal:
            yield f"-o {b} {KNOWN} -j ACCEPT"
            if accepted is not None:
                yield f"! -i {b} -o {b} {_marked(accepted)} -j ACCEPT"
            yield f"-o {b} -j {self.prefix}"
            yield f"-i {b} ! -o {b} -j ACCEPT"
        yield f"-i {b} -o {b} -j {'ACCEPT' if bridge.icc else 'DROP'}"

    def _nat(self, bridges: list[BridgePolicy], ports: list[PortRules]) -> Iterator[Resource]:
        p = self.prefix
        loopback = "127.0.0.0/8" if self.version == 4 else "::1/128"
        yield self._marker("nat")
        yield self._rule("nat", "PREROUTING", f"{LOCAL} -j {p}")
        # Connections to the loopback are the proxy's: there is no route back from a container.
        yield self._rule("nat", "OUTPUT", f"! -d {loopback} {LOCAL} -j {p}")
        returns = [f"-i {b.ifname} {RETURN}" for b in bridges if not b.internal]
        led = [rule for port in ports for rule in port.led]
        yield self._chain("nat", "", [*reversed(returns), *led])
        for bridge in bridges:
            if bridge.masquerade:
                snat = bridge.snat
                target = f"SNAT --to-source {snat}" if snat else "MASQUERADE"
                spec = f"-s {bridge.subnet} ! -o {bridge.ifname} -j {target}"
                yield self._rule("nat", "POSTROUTING", spec)

    def _dnat(self, port: PortPolicy) -> str:
        wild = port.host_ip in (IPv4Address("0.0.0.0"), IPv6Address("::"))
        to_host = "" if wild else f"-d {_host(port.host_ip)} "
        target = f"[{port.address}]" if port.address.version == 6 else str(port.address)
        # A neighbour on the link asks from such an address; no container could answer it.
        near = "! -s fe80::/10 " if self.version == 6 else ""
        return (
            f"{near}{to_host}! -i {port.ifname} -p {port.protocol} -m {port.protocol} "
            f"--dport {port.host_port} -j DNAT --to-destination {target}:{port.port}"
        )

    def _raw(
        self, bridges: list[BridgePolicy], ports: list[PortRules], manners: Manners
    ) -> Iterator[Resource]:
        yield self._marker("raw")
        yield self._rule("raw", "PREROUTING", f"-j {self.prefix}-DIRECT")
        # Rules of one kind stand together; a new one goes to the end of its block.
        looped = [rule for port in ports for rule in port.looped]
        own = [f"-i {b.ifname} {RETURN}" for b in bridges]
        marked = [f"{_marked(manners.accepted)} {RETURN}"] if manners.accepted else []
        closed = [b for b in bridges if not b.direct and not manners.direct]
        trusted = [f"-d {b.subnet} -i {name} {RETURN}" for b in closed for name in b.trusted]
        direct = [f"-d {b.subnet} -m addrtype ! --dst-type LOCAL -j DROP" for b in closed]
        yield self._chain("raw", "-DIRECT", [*looped, *own, *marked, *trusted, *direct])

    def _mangle(self, bridges: list[BridgePolicy]) -> Iterator[Resource]:
        """Segments that fit the way also where no message comes back that says what fits."""
        p = f"{self.prefix}-MSS"
        yield self._marker("mangle")
        yield self._rule("mangle", "FORWARD", f"-j {p}")
        names = [b.ifname for b in bridges if b.mss_clamp]
        rules = [f"-{way} {name} {CLAMP}" for name in names for way in "io"]
        yield self._chain("mangle", "-MSS", rules)


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _opened(port: PortPolicy) -> str:
    return (
        f"-d {_host(port.address)} ! -i {port.ifname} -o {port.ifname} "
        f"-p {port.protocol} -m {port.protocol} --dport {port.port} -j ACCEPT"
    )


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
