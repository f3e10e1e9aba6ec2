"""worry: which hints are worth a look, and how wide. Pure.

Most changes of a busy host are our own, and by the time that somebody looks
the world says the same as they do: what it does not want cannot be missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network

from fairlead.model.endpoint import Endpoint
from fairlead.model.facts import Hint, LinkFact
from fairlead.model.network import Network, span
from fairlead.model.parent import HOST_ADDRESS, host_link
from fairlead.model.peer import Peer
from fairlead.model.state import IPNetwork
from fairlead.model.world import World


@dataclass(frozen=True, slots=True)
class Worry:
    """What to look at: the host, its rules, some sandboxes (by id), new routes."""

    host: bool = False
    rules: bool = False
    boxes: frozenset[str] = frozenset()
    routes: bool = False
    author: str = ""
    """The program that wrote the rules last."""

    def __bool__(self) -> bool:
        return self.host or self.rules or bool(self.boxes) or self.routes


EVERYTHING = Worry(host=True, rules=True, routes=True)


def worry(world: World, hints: Iterable[Hint], ground: Collection[str] = ()) -> Worry:
    """What hints say of things that the world wants.

    `ground` are the host's links through which other hosts are reached.
    """
    bridges = {net.ifname: net for net in world.networks.values() if net.ifname}
    ends = {ep.ifname: ep.sandbox for ep in world.endpoints.values() if ep.cable}
    grounds = {net.parent: net.parent for net in world.networks.values() if net.on_parent}
    own = [net for net in world.networks.values() if not net.on_parent]
    pools = [(p.subnet, p.gateway) for net in own for p in net.pools]
    accessed = [n for n in world.networks.values() if n.on_parent and n.underlay.host_access]
    grounds |= {host_link(net.id): net.parent for net in accessed}
    ways = dict(_ways(world, accessed))
    reached = [ep for ep in world.endpoints.values() if world.sandboxes[ep.sandbox].access]
    # The end that is on the host hangs on nothing: whatever is said of it is worth a look.
    ends |= {ep.inside: ep.sandbox for ep in reached}
    ways |= {text: (ep.sandbox,) for ep in reached for text in _held(ep)}
    subnets = {str(subnet) for subnet, _ in pools}
    gateways = {str(gateway) for _, gateway in pools if gateway is not None}
    gateways |= {str(p.auxiliary[HOST_ADDRESS]) for net in accessed for p in net.pools}
    rules = routes = False
    author = ""
    boxes: set[str] = set()
    # Of a link only what was said last counts.
    links = {hint.name: hint for hint in hints if hint.kind == "link" and not hint.space}
    far = {(hint.space, hint.kind, hint.name): hint for hint in hints if hint.space}
    host, cut = _spanning(world, far.values())
    boxes |= cut
    for hint in hints:
        if hint.kind == "all":
            return replace(EVERYTHING, boxes=_unseen(world))
        if hint.space:
            continue
        if hint.kind == "route" and _moves_host(world, hint.name):
            host = True
        if hint.kind == "rules":
            rules, author = True, hint.name
        elif hint.kind == "setting":
            host = True
        elif hint.kind == "address":
            host = host or hint.name in gateways
            boxes.update(ways.get(hint.name, ()))
        elif hint.kind == "route" and hint.lost:
            host = host or hint.name in subnets or _leads_afar(world, hint.name)
            boxes.update(ways.get(hint.name, ()))
        elif hint.kind == "route" and hint.link not in bridges:
            routes = routes or any(_overlaps(hint.name, subnet) for subnet, _ in pools)
    for name, hint in links.items():
        if name in ground and _routed(world):
            # Routes go with it without a word, and come with it again.
            host = True
        if name in bridges:
            host = host or hint.lost
        elif name in grounds:
            # It went, or is there again: what stands on it cannot be seen from here.
            host = True
            boxes.update(_standing(world, grounds[name]))
        elif name in ends and (hint.lost or hint.loose):
            boxes.add(ends[name])
    return Worry(host or bool(boxes), rules, frozenset(boxes), routes, author)


def _spanning(world: World, hints: Iterable[Hint]) -> tuple[bool, set[str]]:
    """Whether something is lost in the namespace of a network, and whose cables are there."""
    lost, boxes = False, set[str]()
    spaces: dict[str, Network] = {}
    for hint in hints:
        spaces = spaces or {span(n.id): n for n in world.spanning() if n.vnis}
        net = spaces.get(hint.space)
        ends = {ep.ifname: ep.sandbox for ep in world.on_network(net.id)} if net is not None else {}
        if net is None or not ends:
            # Nobody here is on it any more.
            continue
        if hint.kind == "link" and hint.name in ends:
            boxes |= {ends[hint.name]} if hint.lost or hint.loose else set()
        elif hint.kind == "link":
            # Bridges hang on nothing; tunnels do, on a bridge.
            lost = lost or hint.lost or (hint.loose and not hint.name.startswith("br"))
        elif hint.kind == "address":
            lost = lost or any(hint.name == str(pool.gateway) for pool in net.pools)
        elif hint.kind == "neighbour":
            lost = lost or any(hint.name in _known(peer) for peer in world.afar(net.id).values())
    return lost, boxes


def cut_off(world: World, links: Mapping[str, LinkFact]) -> frozenset[str]:
    """The sandboxes of which a cable is gone, down or not where it should be plugged in."""
    found: set[str] = set()
    for ep in world.endpoints.values():
        net = world.networks[ep.network]
        # Of others the near end is not on the host, or not ours.
        if ep.cable and net.ifname and not world.sandboxes[ep.sandbox].access:
            near = links.get(ep.ifname)
            if near is None or not near.up or near.master != net.ifname:
                found.add(ep.sandbox)
    return frozenset(found)


def overlaps(
    world: World, occupied: Iterable[IPNetwork]
) -> Iterator[tuple[IPNetwork, Network, IPNetwork]]:
    """Routes of the host that lead into our networks elsewhere: route, network, its subnet."""
    routes = list(occupied)
    for net in world.networks.values():
        # Of a driver that is not ours such a route is its way to the network; on a parent's
        # segment the host is as well.
        for pool in () if net.remote or net.on_parent else net.pools:
            for route in routes:
                if route.version == pool.subnet.version and route.overlaps(pool.subnet):
                    yield route, net, pool.subnet


def _unseen(world: World) -> frozenset[str]:
    """The sandboxes with a cable of which neither end is seen from the host."""
    nets = (net.id for net in world.spanning() if net.vnis)
    return frozenset(ep.sandbox for net in nets for ep in world.on_network(net))


def _known(peer: Peer) -> tuple[str, ...]:
    """What tells where a peer is: entries for its MAC and its addresses."""
    return (peer.mac, *(str(address.ip) for address in peer.addresses))


def _routed(world: World) -> frozenset[str]:
    """The networks for which hosts route to each other."""
    return frozenset(net.id for net in world.spanning() if net.routed)


def _leads_afar(world: World, text: str) -> bool:
    """Whether a route is one of ours to somebody on another host."""
    nets = _routed(world)
    route = ip_network(text) if nets else None
    if route is None or route.num_addresses > 1:
        return False
    there = (peer for net in nets for peer in world.afar(net).values())
    return any(a.ip == route.network_address for peer in there for a in peer.addresses)


def _moves_host(world: World, text: str) -> bool:
    """Whether a route may be the one to a host to which routes of ours lead."""
    nets = _routed(world)
    route = ip_network(text) if nets else None
    if route is None or not route.prefixlen:
        return False
    return any(id_ in nets and there in route for id_, there in world.reach)


def _standing(world: World, parent: str) -> Iterator[str]:
    """The sandboxes with a link on a parent."""
    for net in world.networks.values():
        if net.parent == parent:
            yield from (ep.sandbox for ep in world.on_network(net.id))


def _ways(world: World, nets: Iterable[Network]) -> Iterator[tuple[str, tuple[str]]]:
    """The routes by which the host reaches single sandboxes."""
    for net in nets:
        for ep in world.on_network(net.id):
            for address in ep.addresses:
                yield str(ip_network(str(address.ip))), (ep.sandbox,)


def _held(endpoint: Endpoint) -> Iterator[str]:
    """The host's addresses on a network that spans hosts, and what they lead to."""
    for address in endpoint.addresses:
        yield str(address.ip)
        yield str(address.network)


def _overlaps(text: str, subnet: IPNetwork) -> bool:
    route = ip_network(text)
    return bool(route.prefixlen) and route.version == subnet.version and route.overlaps(subnet)
