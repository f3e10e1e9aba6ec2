"""A text picture of a cluster: its hosts, each overlay a rail through them, containers as stops.

A host that is reached by a tunnel hangs on the rail by `)))`. Hosts on which nobody is on a
network are not at its rail: they have no tunnel of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import World
from fairlead.picture.tree import ports


@dataclass(frozen=True, slots=True)
class Hosts:
    """Who is in a cluster, as one of its hosts knows."""

    store: str
    own: IPAddress
    alive: tuple[IPAddress, ...]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody on a network."""

    name: str
    addresses: str
    notes: str = ""


def cluster(world: World, hosts: Hosts) -> list[str]:
    """Lines: the hosts, then one overlay after the other, oldest first."""
    lines = [hosts.store, *(f"  away: {line}" for line in (hosts.trouble,) if line)]
    lines += [
        f"  {address}{'  this host' if address == hosts.own else ''}"
        for address in sorted({hosts.own, *hosts.alive}, key=_order)
    ]
    for net in world.networks.values():
        if net.shared:
            lines += ["", _title(net), *_rail(world, hosts, net)]
    return lines


def _title(net: Network) -> str:
    subnets = " ".join(f"{pool.subnet} gateway {pool.gateway}" for pool in net.pools)
    vnis = " ".join(f"VNI {vni}" for vni in net.vnis) or "no VNI yet"
    vnis = "routed" if net.routed else vnis
    if net.driver != "overlay":
        vnis = "by a plugin"
    marks = [word for word in ("internal", "encrypted") if getattr(net, word)]
    return " ".join((f"{net.name} ═ {net.driver} {subnets}", vnis, *marks))


def _rail(world: World, hosts: Hosts, net: Network) -> Iterator[str]:
    ends = [(world.sandboxes[end.sandbox], end) for end in world.on_network(net.id)]
    here = [Stop(box.name, _addresses(end.addresses), _opened(box)) for box, end in ends]
    stations = [("══", f"{hosts.own}  this host", here)] if here else []
    for host, peers in _by_host(world, net):
        stops = [Stop(_name(peer), _addresses(peer.addresses)) for peer in peers]
        way = "══>" if net.routed else ")))"
        stations.append((way if here else "···", str(host), stops))
    for number, (joint, title, stops) in enumerate(stations, start=1):
        last = number == len(stations)
        yield f"  {'╚' if last else '╠'}═{joint} {title}"
        yield from _stops(stops, "     " if last else "  ║  ")


def _stops(stops: Sequence[Stop], margin: str) -> Iterator[str]:
    width = max((len(stop.name) for stop in stops), default=0)
    for number, stop in enumerate(stops, start=1):
        branch = "└" if number == len(stops) else "├"
        yield f"{margin}   {branch}── {stop.name:<{width}}  {stop.addresses}{stop.notes}"


def _by_host(world: World, net: Network) -> list[tuple[IPAddress, list[Peer]]]:
    found: dict[IPAddress, list[Peer]] = {}
    for peer in world.afar(net.id).values():
        found.setdefault(peer.host, []).append(peer)
    return [
        (host, sorted(found[host], key=lambda peer: (*map(_order, _ips(peer)), peer.id)))
        for host in sorted(found, key=_order)
    ]


def _ips(peer: Peer) -> tuple[IPAddress, ...]:
    return tuple(address.ip for address in peer.addresses)


def _order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


def _addresses(addresses: Sequence[object]) -> str:
    return " ".join(str(address).split("/")[0] for address in addresses)


def _name(peer: Peer) -> str:
    return peer.name or peer.id[:12]


def _opened(box: Sandbox) -> str:
    return f"  ◄── {ports(box.ports)}" if box.ports else ""
