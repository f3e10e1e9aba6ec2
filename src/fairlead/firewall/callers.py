"""Who may come to published ports (`model/callers.py`): lists of sources, whatever the backend.

A packet is judged before any NAT, by the host's port that it asks for, or by a container's
own address where that is open (routed and unprotected networks, trusted interfaces). So the
list is the same for what the kernel leads to a container and for what the proxy takes, and
nobody gets past it by being taken for somebody else.

- What is under way already goes on: only what begins is judged.
- This host's own connections do not come in by an interface, and are not asked; nor are
  containers of the network through which the port is published, unless icc is off there:
  they reach it anyhow.
- Everybody else is, containers of other networks as well, by their own address.
- Broadcasts and multicasts are for whoever listens on a port, so they are judged alike.

A port is one element of a map, a list one chain: a host with a thousand ports asks one map,
and without a list anywhere there is not one rule.

A verdict elsewhere, such as a person's ACCEPT, decides nothing: each table is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from fairlead.model.callers import callers
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.prefixes import joined, plain
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPNetwork, Resource
from fairlead.model.world import World

INET = "inet"
DOOR = "meta l4proto . th dport"
HOOK = "type filter hook prerouting priority mangle; policy accept;"
Listed = tuple[IPNetwork, ...] | None
"""Who may come; None: everybody."""
HERE = "fib daddr type { local, broadcast, anycast, multicast }"


def base(marks: Marks) -> Iterator[Resource]:
    """The rules while nobody has a list."""
    table = marks.table
    yield NftTable(INET, table, marks.alias)
    rules = ['iifname "lo" accept', "ct state established,related accept"]
    for version, family in FAMILIES.items():
        door = "inet_proto . inet_service : verdict"
        yield NftSet(INET, table, f"m_callers_ipv{version}", "map", f"type {door}")
        at = f"m_callers_at_ipv{version}"
        yield NftSet(INET, table, at, "map", f"type ipv{version}_addr . {door}")
        rules.append(f"{family} daddr . {DOOR} vmap @{at}")
        mine = f"meta nfproto ipv{version} {HERE}"
        rules.append(f"{mine} {DOOR} vmap @m_callers_ipv{version}")
    yield NftChain(INET, table, "c_callers", tuple(rules), HOOK)


def of_sandbox(marks: Marks, world: World, box: Sandbox) -> Iterator[Resource]:
    """The ports of a sandbox that have a list, and the lists."""
    doors: dict[tuple[str, str], list[Listed]] = {}
    # From elsewhere nobody reaches the loopback.
    for port in (p for p in box.ports if not p.host_ip.is_loopback):
        found = callers(world, box.id, port)
        for door in _doors(world, box, port):
            doors.setdefault(door, []).append(found)
    # A list may be long, and one for hundreds of ports: it is told by its identity, which is
    # its own as long as it is held here.
    chains: dict[int, tuple[Listed, NftChain]] = {}
    for (name, item), lists in doors.items():
        # A container's own port may be published twice, for these and for those.
        those = joined(lists)
        if those is None:
            continue
        if id(those) not in chains:
            rules = _list(world, box, those)
            chain = NftChain(INET, marks.table, _name(box, those), rules)
            chains[id(those)] = those, chain
        chain = chains[id(those)][1]
        yield NftElement(INET, marks.table, name, item, f"goto {chain.name}")
    yield from {chain.name: chain for _, chain in chains.values()}.values()


def _doors(world: World, box: Sandbox, port: Port) -> Iterator[tuple[str, str]]:
    """Where a port is asked for: elements of the maps, without what they lead to."""
    version, number = port.host_ip.version, f"{port.protocol} . {port.host_port}"
    if not port.routed:
        wild = port.host_ip.is_unspecified
        name, item = ("", number) if wild else ("at_", f"{port.host_ip} . {number}")
        yield f"m_callers_{name}ipv{version}", item
    way = world.gateway(box.id, version)
    address = way and (way.ipv4 if version == 4 else way.ipv6)
    if address:
        item = f"{address.ip} . {port.protocol} . {port.container_port}"
        yield f"m_callers_at_ipv{version}", item


def _name(box: Sandbox, found: tuple[IPNetwork, ...]) -> str:
    """The same for the same list, whatever other ports come and go."""
    digest = sha256(" ".join(map(str, found)).encode()).hexdigest()
    return f"c_callers_{box.id[:12]}_{digest[:8]}"


def _list(world: World, box: Sandbox, found: tuple[IPNetwork, ...]) -> tuple[str, ...]:
    ways = [world.gateway(box.id, version) for version in FAMILIES]
    near = dict.fromkeys(_near(world, way) for way in ways if way is not None)
    listed = (f"{FAMILIES[n.version]} saddr {plain(n)} accept" for n in found)
    return (*filter(None, near), *listed, "drop")


def _near(world: World, way: Endpoint) -> str:
    """What lets containers of the same network pass, where they reach each other."""
    net = world.networks[way.network]
    open_ = net.driver == "bridge" and net.bridge.icc
    return f'iifname "{net.ifname}" accept' if open_ else ""
