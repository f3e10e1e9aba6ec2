"""What the dataplane should serve for a world, and the changes from one to another. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fairlead.controller import names, servers
from fairlead.controller.names import Registration
from fairlead.controller.want import uses_resolver
from fairlead.dns.answer import View
from fairlead.model.endpoint import Port
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.trait import Trait
from fairlead.model.world import World

RESOLVER = "127.0.0.11"
PROXIED = ("tcp", "udp")
"""The protocols that the dataplane's proxies speak."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a published port leads; `protocol` is "held" where the kernel alone leads there."""

    port: Port
    address: IPAddress
    protocol: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Names by (zone, endpoint), views by sandbox, proxied ports by their id."""

    names: Mapping[tuple[str, str], Registration] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    ports: Mapping[str, Target] = field(default_factory=dict)


def serving(
    world: World,
    upstreams: tuple[IPAddress, ...],
    boxes: Collection[str] | None = None,
    proxied: bool = True,
    peers: Collection[str] | None = None,
) -> Serving:
    """What should be served: for some sandboxes and peers, or for all."""
    ids = world.sandboxes.keys() if boxes is None else sorted(world.sandboxes.keys() & boxes)
    chosen = [world.sandboxes[id_] for id_ in ids]
    registered = {
        (e.network, e.id): names.registration(world, e)
        for box in chosen
        for e in world.in_sandbox(box.id)
        if e.network in names.zones_of(world, box)
    }
    for id_ in world.peers if peers is None else peers:
        peer = world.peers.get(id_)
        if peer is not None and world.on_network(peer.network):
            registered[peer.network, peer.id] = names.registration_afar(world, peer)
    views = {
        box.id: view(world, box, upstreams)
        for box in chosen
        if not box.host and uses_resolver(world, box.id)
    }
    ports = {}
    for box in chosen:
        for port in box.ports:
            address = None if port.routed else _lead(world, box, port.host_ip.version)
            if address is not None:
                ports[port.id] = Target(port, address, _served(port, proxied))
    return Serving(registered, views, ports)


def _served(port: Port, proxied: bool) -> str:
    """How a port is served: by a proxy, or where the kernel leads everybody, only held.

    The kernel sends nothing from ::1 to a container, so that one needs a proxy always. SCTP
    has none: it is led by the kernel alone.
    """
    if port.protocol not in PROXIED:
        return "held"
    near = port.host_ip.version == 6 and (port.host_ip.is_unspecified or port.host_ip.is_loopback)
    return port.protocol if proxied or near else "held"


def _lead(world: World, box: Sandbox, version: int) -> IPAddress | None:
    """Where a port of the host's leads: in its own family, else the proxy changes it."""
    for family in (version, 10 - version):
        way = world.gateway(box.id, family)
        address = way and (way.ipv4 if family == 4 else way.ipv6)
        if address:
            return address.ip
    return None


def view(world: World, box: Sandbox, upstreams: tuple[IPAddress, ...]) -> View:
    """What one sandbox sees."""
    return View(
        zones=names.zones_of(world, box),
        names=names.links(world, box),
        upstreams=servers.servers(world, box, upstreams),
        forward=servers.may_ask(world, box),
        single_labels=servers.single_labels(world, box),
        ndots=names.has_ndots(box),
        gateways=names.gateways(world, box),
        project=box.project,
    )


def touched(before: World, after: World, boxes: Collection[str]) -> frozenset[str]:
    """The sandboxes whose view a change of some sandboxes can alter: those, and who links there."""
    nets = {e.network for world in (before, after) for box in boxes for e in world.in_sandbox(box)}
    linking = (after.endpoints[id_] for id_ in after.bearing(Trait.LINKING))
    linked = {e.sandbox for e in linking if e.network in nets}
    return frozenset(boxes) | linked
