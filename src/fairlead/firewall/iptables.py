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
from ipaddress import IPv4Address, IPv6Address

from fairlead.firewall.policy import BridgePolicy, Policy, PortPolicy
from fairlead.model.marks import Marks
from fairlead.model.state import Chain, Resource, Rule

FAMILY = {4: "ip", 6: "ip6"}
RETURN = "-j RETURN"
LOCAL = "-m addrtype --dst-type LOCAL"


class IptablesRenderer:
    """Renders for one address family."""

    name = "iptables"

    def __init__(self, marks: Marks, version: int = 4) -> None:
        self.marks = marks
        self.version = version
        self.family = FAMILY[version]
        self.prefix = marks.prefix

    def resources(self, policy: Policy) -> Iterator[Resource]:
        """Every chain, and our rules in the built-in ones."""
        bridges = policy.bridges
        ports = [p for p in policy.ports if p.host_ip.version == self.version]
        yield from self._filter(bridges, ports)
        yield from self._nat(bridges, ports)
        yield from self._raw(bridges, ports)

    def _chain(self, table: str, suffix: str, rules: list[str], theirs: bool = False) -> Chain:
        return Chain(self.family, table, self.prefix + suffix, tuple(rules), theirs)

    def _marker(self, table: str) -> Chain:
        return Chain(self.family, table, self.marks.chain, ())

    def _rule(self, table: str, chain: str, spec: str, place: int = 0) -> Rule:
        return Rule(self.family, table, chain, spec, place)

    def _filter(
        self, bridges: tuple[BridgePolicy, ...], ports: list[PortPolicy]
    ) -> Iterator[Resource]:
        p = self.prefix
        yield self._marker("filter")
        yield self._chain("filter", "-USER", [RETURN], theirs=True)
        yield self._rule("filter", "FORWARD", f"-j {p}-USER", 1)
        yield self._rule("filter", "FORWARD", f"-j {p}-ISOLATION-STAGE-1", 2)
        yield self._rule("filter", "FORWARD", f"-j {p}-FORWARD", 3)
        internal = [rule for b in bridges if b.internal for rule in self._internal(b)]
        ways = [b for b in bridges if not b.internal]
        first = [f"-i {b.ifname} ! -o {b.ifname} -j {p}-ISOLATION-STAGE-2" for b in ways]
        second = [f"-o {b.ifname} -j DROP" for b in ways]
        yield self._chain("filter", "-ISOLATION-STAGE-1", [*internal, *first, RETURN])
        yield self._chain("filter", "-ISOLATION-STAGE-2", [*second, RETURN])
        yield self._chain(
            "filter", "-FORWARD", [rule for b in bridges for rule in self._forward(b)]
        )
        opened = [
            f"-d {t.address}/{t.address.max_prefixlen} ! -i {t.ifname} -o {t.ifname} "
            f"-p {t.protocol} -m {t.protocol} --dport {t.port} -j ACCEPT"
            for t in ports
        ]
        # One container port may be published twice: the door is the same.
        doors = list(dict.fromkeys(reversed(opened)))
        closed = [f"! -i {b.ifname} -o {b.ifname} -j DROP" for b in ways]
        yield self._chain("filter", "", [*doors, *closed])

    def _internal(self, bridge: BridgePolicy) -> Iterator[str]:
        for subnet in self._subnets(bridge):
            yield f"! -s {subnet} -o {bridge.ifname} -j DROP"
            yield f"! -d {subnet} -i {bridge.ifname} -j DROP"

    def _forward(self, bridge: BridgePolicy) -> Iterator[str]:
        b = bridge.ifname
        if not bridge.internal:
            yield f"-o {b} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            yield f"-o {b} -j {self.prefix}"
            yield f"-i {b} ! -o {b} -j ACCEPT"
        yield f"-i {b} -o {b} -j {'ACCEPT' if bridge.icc else 'DROP'}"

    def _nat(
        self, bridges: tuple[BridgePolicy, ...], ports: list[PortPolicy]
    ) -> Iterator[Resource]:
        p = self.prefix
        loopback = "127.0.0.0/8" if self.version == 4 else "::1/128"
        yield self._marker("nat")
        yield self._rule("nat", "PREROUTING", f"{LOCAL} -j {p}")
        # Connections to the loopback are the proxy's: there is no route back from a container.
        yield self._rule("nat", "OUTPUT", f"! -d {loopback} {LOCAL} -j {p}")
        returns = [f"-i {b.ifname} -j RETURN" for b in bridges if not b.internal]
        yield self._chain("nat", "", [*reversed(returns), *(self._dnat(t) for t in ports)])
        for bridge in bridges:
            for subnet in self._subnets(bridge) if bridge.masquerade else ():
                yield self._rule("nat", "POSTROUTING", self._source_nat(bridge, str(subnet)))

    def _source_nat(self, bridge: BridgePolicy, subnet: str) -> str:
        snat = bridge.snat
        fixed = snat is not None and snat.version == self.version
        target = f"SNAT --to-source {snat}" if fixed else "MASQUERADE"
        return f"-s {subnet} ! -o {bridge.ifname} -j {target}"

    def _dnat(self, port: PortPolicy) -> str:
        wild = port.host_ip in (IPv4Address("0.0.0.0"), IPv6Address("::"))
        to_host = "" if wild else f"-d {port.host_ip}/{port.host_ip.max_prefixlen} "
        target = f"[{port.address}]" if port.address.version == 6 else str(port.address)
        return (
            f"{to_host}! -i {port.ifname} -p {port.protocol} -m {port.protocol} "
            f"--dport {port.host_port} -j DNAT --to-destination {target}:{port.port}"
        )

    def _raw(
        self, bridges: tuple[BridgePolicy, ...], ports: list[PortPolicy]
    ) -> Iterator[Resource]:
        yield self._marker("raw")
        yield self._rule("raw", "PREROUTING", f"-j {self.prefix}-DIRECT")
        # Rules of one kind stand together; a new one goes to the end of its block.
        looped = [
            f"-d {t.host_ip}/{t.host_ip.max_prefixlen} ! -i lo -p {t.protocol} "
            f"-m {t.protocol} --dport {t.host_port} -j DROP"
            for t in ports
            if t.host_ip.is_loopback
        ]
        own = [f"-i {b.ifname} -j RETURN" for b in bridges]
        direct = [
            f"-d {subnet} -m addrtype ! --dst-type LOCAL -j DROP"
            for b in bridges
            for subnet in self._subnets(b)
        ]
        yield self._chain("raw", "-DIRECT", [*looped, *own, *direct])

    def _subnets(self, bridge: BridgePolicy) -> list[str]:
        return [str(s) for s in bridge.subnets if s.version == self.version]
