"""Policy: what the networks and published ports of a world allow, as data.

The rules of the house, whichever renderer writes them down, for IPv4 and IPv6
alike:

1. Containers of one network reach each other, unless icc is off.
2. Containers of different networks do not, whatever the host routes; those of
   a routed network are reached on published ports. What is published at the
   host's addresses is for them as for everybody: by the proxy, or without it by NAT.
3. Containers reach the outside through the host's address, unless internal; a
   routed network keeps their own.
4. From outside only published ports are reachable, at the host's addresses; a
   container's own address is not, published or not. A routed network is reached
   at its published ports by a container's own address, an unprotected one
   wholly; trusted interfaces of the host reach published ports that way, too.
5. A port published on a loopback address is reachable from this host only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.options import Mode
from fairlead.model.state import IPAddress, IPNetwork
from fairlead.model.trait import Trait
from fairlead.model.world import World


@dataclass(frozen=True, slots=True)
class BridgePolicy:
    """What a bridge network allows, for one address family."""

    ifname: str
    subnet: IPNetwork
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    snat: IPAddress | None = None
    mode: Mode = Mode.NAT
    trusted: tuple[str, ...] = ()
    mss_clamp: bool = False

    @property
    def direct(self) -> bool:
        """Whether a container's own address may be reached from elsewhere."""
        return self.mode in (Mode.ROUTED, Mode.UNPROTECTED) and not self.internal

    @property
    def answered(self) -> bool:
        """Whether answers come to the containers' own addresses, which are closed otherwise.

        Of such packets only conntrack knows whether they may pass.
        """
        return not self.direct and not self.masquerade and not self.internal


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """A published port: packets to the host's address and port go to the container's.

    Host port 0: only the container's own address and port are open.
    """

    ifname: str
    protocol: str
    host_ip: IPAddress
    host_port: int
    address: IPAddress
    port: int
    led: bool = False
    """The door is only for packets that were led there from the host's port."""
    trusted: tuple[str, ...] = ()
    """Interfaces from which it is open all the same."""


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """A port that one container may reach at another's in spite of icc."""

    ifname: str
    client: IPAddress
    server: IPAddress
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that the user's own rules put on packets: the bits of `mask` equal `value`."""

    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Habits:
    """What holds for all networks of the host, as long as the daemon runs."""

    proxied: bool = True
    """A proxy takes what the kernel does not lead to a published port."""
    accepted: Mark | None = None
    """Packets from outside with this mark reach every container, published port or not."""
    direct: bool = False
    """Published ports are also reached at the containers' own addresses."""
    raw: bool = True
    """iptables has a raw table, and what is closed in it is closed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the firewall has to say: by network, oldest first, and by sandbox."""

    bridges: Mapping[str, tuple[BridgePolicy, ...]] = field(default_factory=dict)
    ports: Mapping[str, tuple[PortPolicy, ...]] = field(default_factory=dict)
    links: Mapping[str, tuple[LinkPolicy, ...]] = field(default_factory=dict)
    drop_strangers: frozenset[int] = frozenset()
    """The families in which forwarded packets that are none of ours do not pass."""

    def after(self, world: World, nets: Iterable[str], boxes: Iterable[str]) -> Policy:
        """The policy of a world in which only those networks and sandboxes are not as before."""
        changed = dict(self.bridges)
        for id_ in nets:
            if id_ in world.networks:
                changed[id_] = walls(world, world.networks[id_])
            else:
                changed.pop(id_, None)
        ports = dict(self.ports)
        for id_ in boxes:
            found = tuple(published(world, (id_,)))
            if found:
                ports[id_] = found
            else:
                ports.pop(id_, None)
        if ports.keys() - self.ports.keys():
            # Whoever is published later than younger ones stands before them nevertheless: the
            # order of rules follows from the world alone.
            ports = {id_: ports[id_] for id_ in world.sandboxes if id_ in ports}
        return replace(self, bridges=changed, ports=ports, links=dict(_links(world)))


def policy(world: World, drop_strangers: frozenset[int] = frozenset()) -> Policy:
    """The policy of a world."""
    return Policy(drop_strangers=drop_strangers).after(world, world.networks, world.sandboxes)


def walls(world: World, net: Network) -> tuple[BridgePolicy, ...]:
    """What a network allows here; one that spans hosts is only here if somebody is on it."""
    absent = net.routed and not world.on_network(net.id)
    return () if absent else tuple(bridges(net))


def bridges(net: Network) -> Iterator[BridgePolicy]:
    """What a network allows, family by family.

    One whose hosts route to each other is judged by `firewall.routes`: here it only passes.
    """
    if net.routed:
        for pool in net.pools:
            yield BridgePolicy(
                net.ifname, pool.subnet, masquerade=False, mode=Mode.UNPROTECTED
            )  # fmt: skip
        return
    if net.driver != "bridge":
        return
    options = net.bridge
    for pool in net.pools:
        version = pool.subnet.version
        snat = options.snat(version)
        mode = options.mode(version)
        yield BridgePolicy(
            ifname=net.ifname,
            subnet=pool.subnet,
            internal=net.internal,
            icc=options.icc,
            masquerade=options.masquerade and not net.internal and mode is not Mode.ROUTED,
            snat=snat if snat is not None and snat.version == version else None,
            mode=mode,
            trusted=options.trusted,
            mss_clamp=options.mss_clamp,
        )


def _links(world: World) -> Iterator[tuple[str, tuple[LinkPolicy, ...]]]:
    """What links open on networks without icc, by the sandbox that has them.

    Only the default bridge knows links that are more than names.
    """
    for net in (world.networks[id_] for id_ in world.bearing(Trait.LINKED)):
        for endpoint in world.on_network(net.id):
            found = tuple(_linked(world, net, endpoint))
            if found:
                yield endpoint.sandbox, found


def _linked(world: World, net: Network, client: Endpoint) -> Iterator[LinkPolicy]:
    for _, target in client.links:
        for server in world.on_network(net.id):
            box = world.sandboxes[server.sandbox]
            if box.container != target or server.id == client.id:
                continue
            for one, other in product(client.addresses, server.addresses):
                for protocol, port in box.exposed if one.version == other.version else ():
                    yield LinkPolicy(net.ifname, one.ip, other.ip, protocol, port)


def published(world: World, boxes: Iterable[str]) -> Iterator[PortPolicy]:
    """The published ports of some sandboxes, those that are there."""
    for box in (world.sandboxes[id_] for id_ in boxes if id_ in world.sandboxes):
        ways = {version: _way(world, box.id, version) for version in (4, 6)} if box.ports else {}
        for port in box.ports:
            way = ways[port.host_ip.version]
            if way is not None:
                bridge, address = way
                yield PortPolicy(
                    bridge.ifname,
                    port.protocol,
                    port.host_ip,
                    port.host_port,
                    address,
                    port.container_port,
                    led=bridge.answered,
                    trusted=bridge.trusted if bridge.answered else (),
                )


def _way(world: World, box: str, version: int) -> tuple[BridgePolicy, IPAddress] | None:
    """Through which bridge, and at which address, the world reaches a sandbox."""
    end = world.gateway(box, version)
    address = end and (end.ipv4 if version == 4 else end.ipv6)
    if not end or not address:
        return None
    families = bridges(world.networks[end.network])
    bridge = next((b for b in families if b.subnet.version == version), None)
    return (bridge, address.ip) if bridge is not None else None
