"""nftables: a policy as one table per family, with maps in the place of long chains.

::

    forward ──► m_from: chains of the bridge a packet comes from (internal, routed)
            ──► m_to:   the chain of the bridge it goes to
            ──► from one of our bridges to elsewhere: accept
    prerouting, output (to this host) ──► c_dnat: maps of published ports
    postrouting ──► home network: nothing; else m_snat, or masquerade
    prerouting, raw ──► loopback ports, containers' own addresses

A packet passes as many rules with a thousand networks and ports as with one: a
bridge is an entry in a map, a port is another, a range of ports that keep their
numbers is one interval in its protocol's map. A change touches the elements that it is
about. What a packet may do is what the iptables renderer says; tests prove it by packets.

Names begin with c_, s_ or m_, because many short words mean something to nft.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fairlead.firewall.policy import (
    BridgePolicy,
    Habits,
    LinkPolicy,
    Mark,
    Policy,
    PortPolicy,
)
from fairlead.firewall.ranges import Range, ranges
from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.options import Mode
from fairlead.model.state import Resource

PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
KNOWN = "ct state established,related accept"
PROTOCOLS = ("tcp", "udp", "sctp")
"""Intervals have a set for each: nft 1.0.6 swaps the bytes of a protocol that is part of one as
if it were two, which not every kernel takes (6.12.117 refuses)."""


class NftablesRenderer:
    """Renders for one address family."""

    name = "nftables"
    whole = False

    def __init__(self, marks: Marks, version: int, habits: Habits) -> None:
        self.habits = habits
        self.version = version
        self.family = FAMILIES[version]
        self.table = marks.table
        self._comment = marks.alias
        self._type = f"ipv{version}_addr"

    # What stands whatever networks there are

    def base(self, policy: Policy) -> Iterator[Resource]:
        """The table, its sets and maps while they are empty, and the chains on hooks."""
        yield NftTable(self.family, self.table, self._comment)
        address, door = self._type, f"{self._type} . inet_proto . inet_service"
        span = f"{address} . inet_service"
        sets = {
            "s_bridges": "type ifname",
            "s_ways": "type ifname",
            "s_clamped": "type ifname",
            "s_home": f"type {address} . ifname; flags interval",
            "s_masquerade": f"type {address}; flags interval",
            "s_closed": f"type {address}; flags interval",
            "s_trusted": f"type ifname . {address}; flags interval",
            "s_doors": f"type {door}",
            **{f"s_door_ranges_{p}": f"type {span}; flags interval" for p in PROTOCOLS},
            "s_looped": f"type {door}",
            "s_links": f"type {address} . {door}",
            "s_hairpin": f"type {address} . ifname; flags interval",
        }
        maps = {
            "m_from": "type ifname : verdict",
            "m_to": "type ifname : verdict",
            "m_snat": f"type {address} : {address}; flags interval",
            "m_ports": f"type inet_proto . inet_service : {address} . inet_service",
            "m_ports_at": f"type {door} : {address} . inet_service",
            **{
                f"m_ranges_{p}": f"type inet_service : {address}; flags interval" for p in PROTOCOLS
            },
            **{f"m_ranges_at_{p}": f"type {span} : {address}; flags interval" for p in PROTOCOLS},
        }
        for kind, named in (("set", sets), ("map", maps)):
            for name, spec in named.items():
                yield NftSet(self.family, self.table, name, kind, spec)
        yield from self._filters(self.version in policy.drop_strangers)
        yield from self._translations()

    def _filters(self, drop_strangers: bool) -> Iterator[Resource]:
        f = self.family
        marked = _marked(self.habits.accepted) if self.habits.accepted else ""
        yield self._hook(
            "c_forward",
            "filter hook forward priority filter",
            "iifname vmap @m_from",
            *([f"iifname != @s_bridges oifname @s_ways {marked} accept"] if marked else []),
            "oifname vmap @m_to",
            # It is not translated, and would leave as it is.
            f"ct state invalid {f} saddr . iifname @s_home drop",
            "iifname @s_bridges accept",
            # Forwarding was off before us: what is not ours does not pass because of us.
            *(["drop"] if drop_strangers else []),
        )
        unguarded = not self.habits.proxied and self.version == 4
        closed = f"{f} daddr @s_closed fib daddr type != local drop"
        yield self._hook(
            "c_raw",
            "filter hook prerouting priority raw",
            f'iifname != "lo" {f} daddr . meta l4proto . th dport @s_looped drop',
            # The bridges route the host's loopback then; a container is not to reach it.
            *(["iifname @s_bridges ip daddr 127.0.0.0/8 drop"] if unguarded else []),
            "iifname @s_bridges return",
            *([f"{marked} return"] if marked else []),
            f"iifname . {f} daddr @s_trusted return",
            *([] if self.habits.direct else [closed]),
        )
        clamp = "tcp flags syn / syn,rst tcp option maxseg size set rt mtu"
        yield self._hook(
            "c_mss",
            "filter hook forward priority mangle",
            f"iifname @s_clamped {clamp}",
            f"oifname @s_clamped {clamp}",
        )

    def _translations(self) -> Iterator[Resource]:
        f = self.family
        loopback = "127.0.0.0/8" if self.version == 4 else "::1"
        door = f"{f} daddr . meta l4proto . th dport"
        near = [] if self.version == 4 else ["ip6 saddr fe80::/10 return"]
        yield self._chain(
            "c_dnat",
            *near,
            *(["iifname @s_ways return"] if self.habits.proxied else []),
            f"dnat {f} to {door} map @m_ports_at",
            f"dnat {f} to meta l4proto . th dport map @m_ports",
            *(f"dnat to {f} daddr . {p} dport map @m_ranges_at_{p}" for p in PROTOCOLS),
            *(f"dnat to {p} dport map @m_ranges_{p}" for p in PROTOCOLS),
        )
        local = "fib daddr type local jump c_dnat"
        yield self._hook("c_prerouting", "nat hook prerouting priority dstnat", local)
        # From ::1 the kernel sends nothing to a container, so there is a proxy for it always.
        kept = self.habits.proxied or self.version == 6
        but = f"{f} daddr != {loopback} " if kept else ""
        yield self._hook("c_output", "nat hook output priority -100", f"{but}{local}")
        # Whoever was led back to his own network would be answered past the host; and to the
        # host's loopback no container could answer.
        back = [
            f"{f} saddr . oifname @s_hairpin ct status dnat masquerade",
            "oifname @s_ways fib saddr type local masquerade",
        ]
        yield self._hook(
            "c_postrouting",
            "nat hook postrouting priority srcnat",
            *(back if not self.habits.proxied else []),
            f"{f} saddr . oifname @s_home return",
            f"snat to {f} saddr map @m_snat",
            f"{f} saddr @s_masquerade masquerade",
        )

    # What stands for one network, and for some ports

    def of_bridge(self, bridge: BridgePolicy) -> Iterator[Resource]:
        """A bridge: its chains, and its place in the maps."""
        name, subnet = f'"{bridge.ifname}"', str(bridge.subnet)
        yield self._element("s_bridges", name)
        if not bridge.internal:
            yield self._element("s_ways", name)
            if not self.habits.proxied:
                yield self._element("s_hairpin", f"{subnet} . {name}")
        arriving, leaving = f"c_to_{_word(bridge.ifname)}", f"c_from_{_word(bridge.ifname)}"
        yield self._chain(arriving, *self._arriving(bridge))
        yield self._element("m_to", name, f"jump {arriving}")
        if bridge.internal or bridge.mode is Mode.ROUTED:
            yield self._chain(leaving, f"oifname != {name} drop" if bridge.internal else KNOWN)
            yield self._element("m_from", name, f"jump {leaving}")
        if bridge.masquerade:
            yield self._element("s_home", f"{subnet} . {name}")
            if bridge.snat:
                yield self._element("m_snat", subnet, str(bridge.snat))
            else:
                yield self._element("s_masquerade", subnet)
        if not bridge.direct and not bridge.answered:
            yield self._element("s_closed", subnet)
        for trusted in bridge.trusted if not bridge.direct else ():
            yield self._element("s_trusted", f'"{trusted}" . {subnet}')
        if bridge.mss_clamp:
            yield self._element("s_clamped", name)

    def _arriving(self, bridge: BridgePolicy) -> Iterator[str]:
        """What becomes of packets on their way into a network."""
        name = f'"{bridge.ifname}"'
        f = self.family
        if bridge.internal:
            yield f"iifname != {name} drop"
            yield "accept" if bridge.icc else "drop"
            return
        if bridge.icc:
            yield f"iifname {name} accept"
        doors = [
            f"{f} daddr . meta l4proto . th dport @s_doors accept",
            *(f"{f} daddr . {p} dport @s_door_ranges_{p} accept" for p in PROTOCOLS),
        ]
        if not self.habits.proxied:
            # It is the kernel that leads to published ports then, from whatever network.
            yield f"ct status dnat {KNOWN}"
            yield from (f"ct status dnat {door}" for door in doors)
        if bridge.mode is not Mode.ROUTED:
            others = f"iifname != {name} " if not bridge.icc else ""
            yield f"{others}iifname @s_bridges drop"
        yield KNOWN
        if not bridge.icc:
            yield f"{f} saddr . {f} daddr . meta l4proto . th dport @s_links accept"
            yield f"iifname {name} drop"
        for door in doors:
            if bridge.answered and not self.habits.direct:
                yield f"ct status dnat {door}"
                yield f"iifname . {f} daddr @s_trusted {door}"
            else:
                yield door
        if bridge.mode is Mode.ROUTED:
            yield f"meta l4proto {'icmp' if self.version == 4 else 'ipv6-icmp'} accept"
        yield "accept" if bridge.mode is Mode.UNPROTECTED else "drop"

    def of_ports(self, ports: Iterable[PortPolicy]) -> Iterator[Resource]:
        """Published ports: where they lead, and the doors that let them in."""
        mine = [port for port in ports if port.address.version == self.version]
        for run in ranges(mine):
            yield from self._led(run) if run.port.host_port else ()
        doors = {(p.address, p.protocol, p.port): p for p in mine}
        for run in ranges(doors.values(), doors=True):
            address, protocol = run.port.address, run.port.protocol
            if run.count > 1:
                yield self._element(f"s_door_ranges_{protocol}", f"{address} . {run.inside}")
            else:
                yield self._element("s_doors", f"{address} . {protocol} . {run.inside}")

    def _led(self, run: Range) -> Iterator[Resource]:
        port = run.port
        at = "" if port.host_ip.is_unspecified else "_at"
        host = f"{port.host_ip} . " if at else ""
        if run.count > 1:
            where = f"m_ranges{at}_{port.protocol}"
            yield self._element(where, f"{host}{run.outside}", str(port.address))
        else:
            item = f"{host}{port.protocol} . {run.outside}"
            yield self._element(f"m_ports{at}", item, f"{port.address} . {port.port}")
        if port.host_ip.is_loopback:
            for number in range(port.host_port, port.host_port + run.count):
                item = f"{port.host_ip} . {port.protocol} . {number}"
                yield self._element("s_looped", item)

    def of_links(self, links: Iterable[LinkPolicy]) -> Iterator[Resource]:
        """Ports that one container may reach at another's in spite of icc."""
        for link in links:
            if link.server.version == self.version:
                item = f"{link.client} . {link.server} . {link.protocol} . {link.port}"
                yield self._element("s_links", item)

    def _element(self, name: str, item: str, value: str = "") -> NftElement:
        return NftElement(self.family, self.table, name, item, value)

    def _chain(self, name: str, *rules: str) -> NftChain:
        return NftChain(self.family, self.table, name, rules)

    def _hook(self, name: str, hook: str, *rules: str) -> NftChain:
        return NftChain(self.family, self.table, name, rules, f"type {hook}; policy accept;")


def _marked(mark: Mark) -> str:
    if mark.mask == 0xFFFFFFFF:
        return f"meta mark 0x{mark.value:08x}"
    return f"meta mark & 0x{mark.mask:08x} == 0x{mark.value:08x}"


def _word(ifname: str) -> str:
    """An interface's name as part of a chain's; nft takes fewer letters there than the kernel."""
    return ifname if PLAIN.fullmatch(ifname) else f"x{ifname.encode().hex()}"
