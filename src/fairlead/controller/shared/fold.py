"""fold: what the view of a cluster means for this host's world. Pure.

The store is the truth about networks and about endpoints on other hosts; this host is the
truth about its own. So a network that is gone from the store stays here as long as anybody
here is on it (and is written there again), and a peer never takes what an endpoint of
ours has: its id, its MAC, its address. The host's own way into a network is no reason to keep it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass, replace

from fairlead.cluster.overlay import NO_VNI
from fairlead.cluster.view import View, changed, remote
from fairlead.controller.access import without_access
from fairlead.controller.facts import builtin
from fairlead.driver import bridge
from fairlead.driver.overlay import segments
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress
from fairlead.model.world import Change, Thing, World

Members = frozenset[tuple[str, str]]
"""Endpoints: the ids of their networks, and their own."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A view, by which address others reach this host, and which hosts are alive."""

    view: View
    own: IPAddress
    alive: Container[IPAddress]
    doubted: Container[str] = ()
    """Networks of which the store has lost something: who is gone there may not have left."""


def networks_between(before: View, after: View) -> frozenset[str]:
    """The networks that two views do not see alike."""
    return frozenset(after.networks.differing(before.networks)) | frozenset(
        after.overlays.differing(before.overlays)
    )


def members_between(before: View, after: View) -> Members:
    """The endpoints that two views do not see alike."""
    pairs = ((was or now) for was, now in changed(before, after))
    return frozenset((peer.network, peer.id) for peer in pairs if peer is not None)


def members_on(view: View, hosts: Collection[IPAddress]) -> Members:
    """The endpoints on some hosts that a view has."""
    return frozenset((peer.network, peer.id) for host in hosts for peer in view.on(host))


def every_network(view: View, world: World) -> frozenset[str]:
    """All networks that a view or a world has and that span hosts."""
    ours = (net.id for net in world.networks.values() if net.shared)
    return frozenset((*view.networks, *ours))


def every_member(view: View, world: World, nets: Iterable[str]) -> Members:
    """All endpoints of some networks that a view has, and all peers of them in a world."""
    return frozenset((net, id_) for net in nets for id_ in (*view.endpoints(net), *world.afar(net)))


def networks_amiss(view: View, world: World) -> frozenset[str]:
    """The networks that a world has otherwise than a view, but for those that it is removing.

    A removal that the cluster refused leaves one: no event of the store tells of it.
    """
    owed = {errand.net.id for errand in world.errands.values()}
    there = (id_ for id_ in view.networks if id_ not in owed)
    return frozenset(id_ for id_ in there if network(view, world, id_) != world.networks.get(id_))


def change(world: World, sight: Sight, nets: Iterable[str], members: Members) -> Change:
    """What becomes of a world where a view says something new of networks and endpoints."""
    put: list[Thing] = []
    drop: list[Thing] = []
    more: set[tuple[str, str]] = set(members)
    for id_ in sorted(nets):
        now, had = network(sight.view, world, id_), world.networks.get(id_)
        if now is not None and now != had:
            put.append(now)
            more |= every_member(sight.view, world, (id_,)) if had is None else set()
        elif now is None and had is not None and had.shared and not world.users(id_):
            ends, boxes = without_access(world, had)
            drop += [*world.afar(id_).values(), *ends, *boxes, had]
    there = {*world.networks, *(t.id for t in put)} - {t.id for t in drop}
    macs = {net: _macs(world, net) for net, _ in more}
    for net, id_ in sorted(more):
        who, known = _peer(sight, world, net, id_, macs[net]), world.peers.get(id_)
        if who is not None and net in there and who != known:
            put.append(who)
        elif known is None or known.network != net:
            continue
        elif net not in there or (who is None and not _in_doubt(sight, world, known)):
            drop.append(known)
    return Change(tuple(put), tuple({thing.id: thing for thing in drop}.values()))


def network(view: View, world: World, id_: str) -> Network | None:
    """A network of the cluster as this host has it; None if it has none such.

    One that is going is not joined any more; one called like a network of this host alone
    is left out, so that nobody is led to another network by a name.
    """
    record = view.networks.get(id_)
    if record is None or record.removing or not ours(record.network):
        return None
    net, had = record.network, world.networks.get(id_)
    net = replace(net, remote=net.driver != "overlay")
    lived_in = had is not None and had.shared and bool(world.on_network(id_))
    if had is not None and lived_in and had.essence != net.essence:
        # Whatever the store says: nobody's network changes under their feet.
        return had
    other = world.called(net.name)
    if other is not None and other.id != id_:
        return None
    found = vnis(view, net)
    if had is not None and lived_in and not found:
        # Lost, or claimed by another network: what runs keeps what it has.
        found = had.vnis
    elif not lived_in and _held(world, id_).intersection(found):
        found = ()
    return replace(net, vnis=found)


def ours(net: Network) -> bool:
    """Whether a network is one that can span hosts: an overlay, or one of a plugin."""
    return net.driver == "overlay" or not builtin(net.driver)


def _held(world: World, but: str) -> set[int]:
    """The VNIs of the networks, other than one, that somebody here is on."""
    nets = (net for net in world.spanning() if net.id != but and world.on_network(net.id))
    return {vni for net in nets for vni in net.vnis}


def hidden(view: View, world: World) -> Iterator[Network]:
    """Networks of the cluster that are left out because of their names."""
    for record in view.networks.values():
        other = world.called(record.network.name)
        if other is not None and other.id != record.network.id and not record.removing:
            yield record.network


def vnis(view: View, net: Network) -> tuple[int, ...]:
    """The VNIs of a network's segments; none while one of them has none.

    None as well where none is used: what a host that knows tunnels only has drawn is its own.
    """
    if net.routed:
        return ()
    found = tuple(view.vni(net.id, pools[0].subnet) for pools in segments(net) if pools)
    return found if NO_VNI not in found else ()


def _macs(world: World, network: str) -> frozenset[str]:
    """The MACs that this host has on a network: nobody elsewhere has one of them."""
    net = world.networks.get(network)
    own = {bridge.mac(net)} if net is not None and net.driver == "overlay" else set()
    return frozenset(own | {ep.mac.lower() for ep in world.on_network(network) if ep.mac})


def _peer(sight: Sight, world: World, network: str, id_: str, macs: Container[str]) -> Peer | None:
    """An endpoint on another host, as far as this one should reach it."""
    found = sight.view.endpoints(network).get(id_)
    if found is None or not remote(found, sight.own, sight.alive):
        return None
    if id_ in world.endpoints or found.mac in macs:
        return None
    if any(int(a.ip) in world.taken(network, a.version) for a in found.addresses):
        return None
    return found


def _in_doubt(sight: Sight, world: World, known: Peer) -> bool:
    """Whether a peer is only missing, from a store that misses what is there."""
    if known.network not in sight.doubted or known.host not in sight.alive:
        return False
    if known.id in sight.view.endpoints(known.network):
        return False
    others = (sight.view.at(known.network, address.ip) for address in known.addresses)
    ours = (int(a.ip) in world.taken(known.network, a.version) for a in known.addresses)
    return not any(ours) and all(other is None for other in others)


def with_vnis(world: World, network: str, vnis: tuple[int, ...]) -> Change:
    """A network has its VNIs."""
    net = world.networks.get(network)
    if net is None or net.vnis == vnis:
        return Change()
    return Change(put=(replace(net, vnis=vnis),))
