"""want: the resources that a world calls for, each with its owner. Pure.

Everything that fairlead has in the kernel is derived here and nowhere else:
what is not in `want` should not be there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from fairlead.cluster import sealing
from fairlead.driver import interface, routed, sameway
from fairlead.driver.interface import driver
from fairlead.driver.site import UNKNOWN, Site
from fairlead.firewall import access, callers, egress, guard, routes, tunnels
from fairlead.firewall.policy import Policy, policy, published
from fairlead.firewall.policy import walls as walls_of
from fairlead.firewall.renderer import Firewall
from fairlead.model.endpoint import Endpoint
from fairlead.model.ground import Ground
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import (
    EVERYWHERE,
    HOST,
    Bridge,
    DnsRedirect,
    IPAddress,
    Key,
    Namespace,
    Resource,
    Route,
    State,
    Sysctl,
    Veth,
)
from fairlead.model.trait import Trait
from fairlead.model.world import World
from fairlead.model.zone import Member

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
FIREWALL = "firewall"
"""The owner of what belongs to no single network or sandbox."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the daemon wants of the host whatever networks there are."""

    forwarding: bool = True
    drop_forwarded: frozenset[int] = frozenset()
    """The families whose forwarding was off before us: strangers are not to pass because of us."""
    no_drop: bool = False
    """The user does not want that."""
    firewall: bool = True
    proxy: bool = True
    """What the kernel does not lead to a published port the proxy does."""
    underlay: IPAddress | None = None
    """The address by which the hosts of the cluster reach this one."""
    underlay_mtu: int = 0
    """The MTU of the interface that has it, in bytes; 0 where that is not known."""
    zoned: bool = False
    """firewalld judges what passes here as well, by the zones of interfaces."""
    ground: Ground = UNKNOWN
    """Which other hosts share a segment with this one, as far as somebody asked for that."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource and who wants it: the id of a network, endpoint or sandbox, or "firewall"."""

    resource: Resource
    owner: str


def claims(world: World, walls: Firewall, host: Host) -> Iterator[Claim]:
    """All that a world calls for."""
    for net in world.networks.values():
        yield from network(world, net, walls, host)
    for who in world.peers.values():
        yield from peer(world, who, walls, host)
    for id_, there in world.reach:
        yield from heard(world, id_, there, walls, host)
    for box in world.sandboxes.values():
        yield from sandbox(world, box, walls, host)
    yield from sealed(world, host)
    yield from firewall(world, walls, host)


def network(world: World, net: Network, walls: Firewall, host: Host) -> Iterator[Claim]:
    """What stands for a network alone."""
    for resource in driver(net).network(net, site(world, net, host)):
        yield Claim(resource, net.id)
        if host.zoned and isinstance(resource, Bridge) and resource.namespace == HOST:
            yield Claim(Member(resource.name), net.id)
    if net.driver == "bridge" and not net.adopted:
        # Without a proxy the kernel leads from the host's loopback into containers.
        path = f"net/ipv4/conf/{net.ifname}/route_localnet"
        yield Claim(Sysctl(HOST, path, str(int(not host.proxy)), net.ifname), net.id)
    if host.firewall:
        yield from (Claim(r, net.id) for r in walls.of_bridges(walls_of(world, net)))
        yield from (Claim(r, net.id) for r in egress.of_network(walls.marks, net))
        if routed_here(world, net, host):
            yield from (Claim(r, net.id) for r in routes.of_network(walls.marks, net))
    if judged(world, net, host):
        for vni in net.vnis:
            found = tunnels.of_network(walls.marks, vni, net.encrypted)
            yield from (Claim(resource, net.id) for resource in found)


def site(world: World, net: Network, host: Host) -> Site:
    """This host as a network finds it."""
    if not net.routed:
        return Site(host.underlay, bool(world.on_network(net.id)))
    ends = world.on_network(net.id)
    own = tuple(a for e in ends if world.sandboxes[e.sandbox].access for a in e.addresses)
    return Site(host.underlay, bool(ends), own, host.ground)


def peer(world: World, who: Peer, walls: Firewall, host: Host) -> Iterator[Claim]:
    """What stands for an endpoint on another host, if anybody here is to reach it."""
    net = world.networks.get(who.network)
    if net is None or not (tunnelled(world, net, host) or routed_here(world, net, host)):
        return
    yield from (Claim(r, who.id) for r in interface.peer(net, who, site(world, net, host)))
    link = host.ground.near.get(who.host) if net.routed else None
    if link is not None and host.firewall:
        yield from (Claim(r, who.id) for r in routes.of_peer(walls.marks, net, who, link))


def tunnelled(world: World, net: Network, host: Host) -> bool:
    """Whether a network has tunnels from this host: it spans hosts, and somebody here is on it."""
    spans = net.vnis and host.underlay is not None and world.on_network(net.id)
    return bool(spans and not net.routed)


def routed_here(world: World, net: Network, host: Host) -> bool:
    """Whether this host routes for a network that spans hosts without tunnels."""
    return bool(net.routed and host.underlay is not None and world.on_network(net.id))


def judged(world: World, net: Network, host: Host) -> bool:
    """Whether rules say who is heard in a network's tunnels.

    What keeps an encrypted one closed is no firewall that anybody could do without.
    """
    return (host.firewall or net.encrypted) and tunnelled(world, net, host)


def heard(
    world: World, network: str, there: IPAddress, walls: Firewall, host: Host
) -> Iterator[Claim]:
    """What lets another host speak in a network, if it has endpoints there."""
    net = world.networks.get(network)
    if net is None or not world.reaches(network, there):
        return
    if judged(world, net, host):
        for vni in net.vnis:
            yield from (
                Claim(r, net.id) for r in tunnels.of_peer(walls.marks, vni, there, net.encrypted)
            )
    if host.firewall and routed_here(world, net, host) and there in host.ground.near:
        yield from (Claim(r, net.id) for r in routes.of_far_host(walls.marks, net, there))


def sealed(world: World, host: Host, among: Collection[IPAddress] | None = None) -> Iterator[Claim]:
    """What encrypts between this host and the others of the keyring, if it has such networks.

    All of them, not only those with which it shares one now: SAs that went with a last
    container and came back with the next would count from 1 again (`model/xfrm.py`).
    """
    here, ring = host.underlay, world.ring
    if here is None or ring is None or not sealing_here(world, host):
        return
    everybody = among is None or here in among
    for there in ring.members:
        if there != here and (everybody or there in (among or ())):
            yield from (Claim(r, FIREWALL) for r in sealing.between(ring, here, there))


def sealing_here(world: World, host: Host) -> bool:
    """Whether anybody here is on an encrypted network."""
    return any(net.encrypted and tunnelled(world, net, host) for net in world.spanning())


def sandbox(world: World, box: Sandbox, walls: Firewall, host: Host) -> Iterator[Claim]:
    """What stands for a sandbox: its namespace, its endpoints, its ways out, its ports."""
    if box.host:
        return
    if not box.access:
        yield Claim(Namespace(box.namespace, box.identity, box.source), box.id)
    if uses_resolver(world, box.id):
        yield Claim(DnsRedirect(box.namespace), box.id)
    for ep in world.in_sandbox(box.id):
        net = world.networks[ep.network]
        resources = list(driver(net).endpoint(net, ep, box, site(world, net, host)))
        for resource in resources:
            # Who asks for its own published port is led back to where it came from.
            back = isinstance(resource, Veth) and not resource.namespace and not host.proxy
            yield Claim(replace(resource, hairpin=True) if back else resource, ep.id)  # type: ignore[type-var]
        for resource in sameway.endpoint(net, ep, box, interface.routes(net, ep)):
            yield Claim(resource, ep.id)
        if host.firewall and net.id in world.bearing(Trait.GUARDED):
            yield from (Claim(r, ep.id) for r in guard.of_endpoint(walls.marks, ep))
        if host.firewall:
            yield from (Claim(r, ep.id) for r in _speaking(world, net, box, ep, walls, host))
        # In a namespace that we made IPv6 is off by default; this one is not ours to set up.
        off = Sysctl(box.namespace, f"net/ipv6/conf/{ep.inside}/disable_ipv6", "1", link=ep.inside)
        if box.adopted and ep.cable and off.key not in {r.key for r in resources}:
            yield Claim(off, ep.id)
    for version, destination in EVERYWHERE.items():
        way = world.gateway(box.id, version)
        if way is not None:
            via = way.gateway(version)
            if via is not None and via.is_unspecified:
                via = None
            yield Claim(Route(box.namespace, destination, via, way.inside), way.id)
    if host.firewall and box.ports:
        yield from (Claim(r, box.id) for r in walls.of_ports(published(world, (box.id,))))
        if world.bearing(Trait.CALLED):
            yield from (Claim(r, box.id) for r in callers.of_sandbox(walls.marks, world, box))


def firewall(
    world: World, walls: Firewall, host: Host, rules: Policy | None = None
) -> Iterator[Claim]:
    """The rules that speak of everything, and the settings of the host that they rest on.

    `rules` is the policy of the world, where it is known.
    """
    if host.firewall:
        if rules is None:
            rules = policy(world)
        rules = replace(rules, drop_strangers=host.drop_forwarded & forwarded(world))
        for renderer in walls.renderers:
            yield from (Claim(r, FIREWALL) for r in renderer.base(rules))
            for links in rules.links.values():
                yield from (Claim(r, FIREWALL) for r in renderer.of_links(links))
        if world.bearing(Trait.GUARDED):
            yield from (Claim(r, FIREWALL) for r in guard.base(walls.marks))
        yield from _lists(world, walls, host)
        if world.bearing(Trait.ACCESS):
            yield from (Claim(r, FIREWALL) for r in access.base(walls.marks))
        if any(routed_here(world, net, host) for net in world.spanning()):
            yield from (Claim(r, FIREWALL) for r in routes.base(walls.marks))
    yield from hops(world, host)
    nets = [net for net in world.spanning() if judged(world, net, host)]
    if nets and host.underlay is not None:
        yield from (Claim(r, FIREWALL) for r in tunnels.base(walls.marks, host.underlay))
        for net in world.networks.values():
            if net.driver == "bridge":
                yield from (Claim(r, net.id) for r in tunnels.of_bridge(walls.marks, net.ifname))
    if host.underlay is not None and any(net.encrypted for net in nets):
        yield from (Claim(r, FIREWALL) for r in tunnels.sealed(walls.marks))
        yield from (Claim(r, FIREWALL) for r in sealing.base(host.underlay.version))
    if host.forwarding:
        for version in sorted(forwarded(world)):
            yield Claim(Sysctl(HOST, FORWARDING[version], "1"), FIREWALL)


def _lists(world: World, walls: Firewall, host: Host) -> Iterator[Claim]:
    """The rules on which lists of sources and of destinations rest, if there is one."""
    if world.bearing(Trait.CALLED):
        yield from (Claim(r, FIREWALL) for r in callers.base(walls.marks))
    if world.bearing(Trait.LIMITED):
        yield from (Claim(r, FIREWALL) for r in egress.base(walls.marks))
        for net in world.networks.values() if not host.proxy else ():
            if net.driver == "bridge":
                found = egress.of_bridge(walls.marks, net.ifname)
                yield from (Claim(r, FIREWALL) for r in found)


def hops(world: World, host: Host) -> Iterator[Claim]:
    """The next hop that this host is for others, where its address does not do for that."""
    if any(n.enable_ipv6 and routed_here(world, n, host) for n in world.spanning()):
        own = routed.own_hop(Site(host.underlay, True, (), host.ground))
        yield from (Claim(resource, FIREWALL) for resource in own)


def _speaking(
    world: World, net: Network, box: Sandbox, ep: Endpoint, walls: Firewall, host: Host
) -> Iterator[Resource]:
    """What lets an endpoint speak on a network that spans hosts, where it needs leave."""
    if routed_here(world, net, host):
        if box.access:
            yield from routes.of_host(walls.marks, ep)
        else:
            yield from routes.of_endpoint(walls.marks, net, ep)
    elif box.access:
        yield from access.of_endpoint(walls.marks, net, ep)


def forwarded(world: World) -> frozenset[int]:
    """The families that the host is to forward: IPv6 only when a network has it.

    A host that forwards IPv6 no longer learns its own routes from advertisements.
    """
    six = world.bearing(Trait.SIX) or any(
        net.enable_ipv6 and net.routed and world.on_network(net.id) for net in world.spanning()
    )
    return frozenset({4, 6} if six else {4})


def uses_resolver(world: World, sandbox: str) -> bool:
    """Whether names are answered in a sandbox: it is on a network that a user made.

    The host asks whom it asked before.
    """
    if sandbox in world.sandboxes and world.sandboxes[sandbox].access:
        return False
    nets = (world.networks[e.network] for e in world.in_sandbox(sandbox))
    return any(net.user_defined and driver(net).CABLE for net in nets)


def states(found: Iterable[Claim]) -> tuple[State, dict[Key, str]]:
    """Claims as a state and the owner of each key. Two different claims to one key: ValueError."""
    wanted: dict[Key, Resource] = {}
    owners: dict[Key, str] = {}
    for claim in found:
        key = claim.resource.key
        if wanted.setdefault(key, claim.resource) != claim.resource:
            raise ValueError(f"{claim.owner} and {owners[key]} both claim {key}")
        owners.setdefault(key, claim.owner)
    return wanted, owners
