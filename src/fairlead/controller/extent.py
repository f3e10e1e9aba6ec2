"""extent: what of a world a change can alter. Pure.

A plan compares this much before and after, and no more: a join costs the same however
many others there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fairlead.model.endpoint import Endpoint
from fairlead.model.keyring import Keyring
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.trait import Trait
from fairlead.model.world import Change, World

Reach = tuple[str, IPAddress]
"""A network's id, and a host on which it has endpoints."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The ids of what a change touches; `walls`: also the rules that speak of everything."""

    nets: frozenset[str]
    boxes: frozenset[str]
    peers: frozenset[str]
    hosts: frozenset[Reach]
    walls: bool
    seals: frozenset[IPAddress] = frozenset()
    """The hosts to which other SAs may lead than before; with ourselves among them: all."""


def extent(before: World, after: World, change: Change) -> Extent:
    """The networks, sandboxes and peers that a change touches."""
    nets, boxes, peers = set(), set(), set()
    walls = False
    settled: set[str] = set()
    seals: set[IPAddress] = set()
    for thing in (*change.put, *change.drop):
        match thing:
            case Network():
                nets.add(thing.id)
                walls = walls or thing.driver == "bridge"
                settled.add(thing.id)
                nets.update(_sharing(before, thing), _sharing(after, thing))
            case Sandbox():
                boxes.add(thing.id)
                # With the first of these comes the table that keeps others out.
                walls = walls or thing.access
            case Endpoint():
                boxes.add(thing.sandbox)
                # With the first on it a network that spans hosts comes to stand here.
                was, now = (bool(world.on_network(thing.network)) for world in (before, after))
                if was != now or _speaks_for_host(before, after, thing):
                    settled.add(thing.network)
            case Peer():
                peers.add(thing.id)
            case Keyring():
                seals |= _rekeyed(before.ring, after.ring)
    for id_ in settled:
        there = before.networks.get(id_) or after.networks.get(id_)
        if there is not None and there.shared:
            peers.update(before.afar(id_), after.afar(id_))
        if there is not None and there.driver == "overlay":
            # With the first network of its kind comes the table that judges tunnels.
            walls = True
            nets.add(id_)
            if there.encrypted:
                # With the first one that is encrypted come all SAs.
                seals |= _rekeyed(before.ring, None) | _rekeyed(None, after.ring)
    # With the first list of sources come the rules that ask it.
    walls = walls or bool(before.bearing(Trait.CALLED)) != bool(after.bearing(Trait.CALLED))
    found = (world.peers[id_] for world in (before, after) for id_ in peers if id_ in world.peers)
    hosts = frozenset((peer.network, peer.host) for peer in found)
    ids = (frozenset(nets), frozenset(boxes), frozenset(peers))
    return Extent(*ids, hosts, walls, frozenset(seals))


def _speaks_for_host(before: World, after: World, end: Endpoint) -> bool:
    """Whether routes to peers name the address of an endpoint, as it is the host's own."""
    for world in (before, after):
        net, box = world.networks.get(end.network), world.sandboxes.get(end.sandbox)
        if net is not None and net.routed and box is not None and box.access:
            return True
    return False


def _rekeyed(old: Keyring | None, new: Keyring | None) -> set[IPAddress]:
    """The hosts of which two keyrings do not say the same."""
    was, now = (ring.members if ring is not None else {} for ring in (old, new))
    if old is None or new is None or (old.generation, old.secrets) != (new.generation, new.secrets):
        return {*was, *now}
    return {host for host in was.keys() | now.keys() if was.get(host) != now.get(host)}


def _sharing(world: World, net: Network) -> Iterator[str]:
    """The networks whose parent is that of a network: it goes with the last of them."""
    if net.on_parent:
        yield from (o.id for o in world.networks.values() if o.parent == net.parent)
