"""Policy: what the networks and published ports of a world allow, as data.

The rules of the house, whichever renderer writes them down:

1. Containers of one network reach each other, unless icc is off.
2. Containers of different networks do not, whatever the host routes.
3. Containers reach the outside through the host's address, unless internal.
4. From outside only published ports are reachable, at the host's addresses;
   a container's own address is not, published or not.
5. A port published on a loopback address is reachable from this host only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairlead.model.state import IPAddress, IPNetwork
from fairlead.model.world import World


@dataclass(frozen=True, slots=True)
class BridgePolicy:
    """What a bridge network allows."""

    ifname: str
    subnets: tuple[IPNetwork, ...]
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    snat: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """A published port: packets to the host's address and port go to the container's."""

    ifname: str
    protocol: str
    host_ip: IPAddress
    host_port: int
    address: IPAddress
    port: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the firewall has to say. Oldest network first."""

    bridges: tuple[BridgePolicy, ...] = ()
    ports: tuple[PortPolicy, ...] = ()


def policy(world: World) -> Policy:
    """The policy of a world."""
    return Policy(tuple(_bridges(world)), tuple(published(world, world.sandboxes)))


def _bridges(world: World) -> Iterator[BridgePolicy]:
    for net in world.networks.values():
        if net.driver == "bridge":
            options = net.bridge
            yield BridgePolicy(
                ifname=net.ifname,
                subnets=tuple(pool.subnet for pool in net.pools),
                internal=net.internal,
                icc=options.icc,
                masquerade=options.masquerade and not net.internal,
                snat=options.snat,
            )


def published(world: World, boxes: Iterable[str]) -> Iterator[PortPolicy]:
    """The published ports of some sandboxes, those that are there."""
    for box in (world.sandboxes[id_] for id_ in boxes if id_ in world.sandboxes):
        for port in box.ports:
            way = world.gateway(box.id, port.host_ip.version)
            if way is None:
                continue
            address = way.ipv4 if port.host_ip.version == 4 else way.ipv6
            net = world.networks[way.network]
            if address is not None and net.driver == "bridge":
                yield PortPolicy(
                    net.ifname,
                    port.protocol,
                    port.host_ip,
                    port.host_port,
                    address.ip,
                    port.container_port,
                )
