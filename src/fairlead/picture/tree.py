"""A text picture: each network a rail, the containers on it as stops.

A container that is on several networks appears on each; its way out is marked.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.network import Network
from fairlead.model.world import World


def tree(world: World) -> list[str]:
    """Lines, one network after the other, oldest first."""
    lines: list[str] = []
    for net in world.networks.values():
        ends = world.on_network(net.id)
        if ends or net.driver == "bridge" or net.on_parent:
            lines += [_title(net), *_stops(world, ends)]
    return lines


def _title(net: Network) -> str:
    subnets = " ".join(
        str(pool.subnet) + (f" gateway {pool.gateway}" if pool.gateway else "")
        for pool in net.pools
    )
    stands = net.ifname or net.parent
    bridge = f" {stands}" if stands else ""
    closed = " internal" if net.internal else ""
    return f"{net.name} ═ {net.driver}{bridge} {subnets}{closed}".rstrip()


def _stops(world: World, ends: tuple[Endpoint, ...]) -> Iterator[str]:
    boxes = [(world.sandboxes[e.sandbox], e) for e in ends]
    width = max((len(box.name) for box, _ in boxes), default=0)
    for number, (box, end) in enumerate(boxes, start=1):
        branch = "╚" if number == len(boxes) else "╠"
        addresses = " ".join(str(address.ip) for address in end.addresses)
        way = world.gateway(box.id)
        out = "  ──► out" if way is not None and way.id == end.id else ""
        opened = f"  ◄── {ports(box.ports)}" if out and box.ports else ""
        place = f"{end.inside} {addresses}".strip() or "no interface of its own"
        yield f"  {branch}══ {box.name:<{width}}  {place}{out}{opened}"


def ports(published: tuple[Port, ...]) -> str:
    """Each port once, whatever addresses of the host it is published on."""
    shown = (f"{port.host_port}→{port.container_port}/{port.protocol}" for port in published)
    return ", ".join(dict.fromkeys(shown))
