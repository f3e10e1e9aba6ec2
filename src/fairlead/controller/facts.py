"""What others answered, checked against the world before anything is made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.driver.interface import DRIVERS, routes
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Failed
from fairlead.model.facts import HostLink
from fairlead.model.network import Network, Pool
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.world import World


class Lie(Failed):
    """Somebody else's answer cannot be true, or would do harm."""

    def __init__(self, who: str, text: str) -> None:
        super().__init__(
            f"{who}: {text}", hint="the fault is in that plugin; nothing was changed for it"
        )


def check_network(world: World, net: Network) -> None:
    """Whether a network's pools can be."""
    for pool in net.pools:
        for fault in _pool_faults(pool):
            raise Lie(f"IPAM driver {net.ipam_driver}", fault)
    for pool in net.pools:
        for other in world.networks.values():
            # Whose pools are in another address space may overlap, there; here they share
            # the host's routes only if both are its bridges.
            if other.id == net.id or net.remote or other.remote or other.config_only:
                continue
            if any(_overlap(pool, theirs) for theirs in other.pools):
                raise Lie(
                    f"IPAM driver {net.ipam_driver}",
                    f"gave {pool.subnet}, which overlaps network {other.name}",
                )


def _pool_faults(pool: Pool) -> Iterator[str]:
    if pool.subnet.is_multicast or pool.subnet.is_loopback:
        yield f"gave {pool.subnet}, from which nobody can have an address"
    if pool.gateway is not None and pool.gateway not in pool.subnet:
        yield f"gave {pool.gateway} as gateway, which is not in {pool.subnet}"


def _overlap(pool: Pool, other: Pool) -> bool:
    same = pool.subnet.version == other.subnet.version
    return same and pool.subnet.overlaps(other.subnet)


def check_endpoint(world: World, net: Network, ep: Endpoint) -> None:
    """Whether an endpoint's addresses and routes can be, beside what there is."""
    who = f"network {net.name}"
    for address in ep.addresses:
        for fault in _address_faults(address):
            raise Lie(who, fault)
        holder = world.taken(net.id, address.version).get(int(address.ip), ep.id)
        if holder != ep.id:
            raise Lie(who, f"was given {address.ip}, which endpoint {holder[:12]} has")
        pools = [p for p in net.pools if p.subnet.version == address.version]
        if pools and not any(address.ip in p.subnet for p in pools):
            raise Lie(who, f"was given {address.ip}, which is in none of its subnets")
        if any(address.ip == p.gateway for p in pools):
            raise Lie(who, f"was given {address.ip}, which is its gateway")
    for gateway in ep.gateways:
        if gateway.is_multicast or gateway.is_loopback or gateway.is_unspecified:
            raise Lie(who, f"was given the gateway {gateway}, which nobody can be")
        near = [a.network for a in ep.addresses]
        near += [r.destination for r in ep.routes if r.via is None]
        if net.remote and not gateway.is_link_local and not any(gateway in n for n in near):
            raise Lie(who, f"was given the gateway {gateway}, to which no address or route leads")
    mine = _destinations(net, ep)
    if len(ep.routes) != len({route.destination for route in ep.routes}):
        raise Lie(who, "wants two routes to the same destination")
    for other in world.in_sandbox(ep.sandbox):
        theirs = world.networks.get(other.network)
        if theirs is None or other.id == ep.id:
            # What was promised on a network that has gone meanwhile comes to nothing.
            continue
        if both := mine & _destinations(theirs, other):
            raise Lie(who, f"wants a route to {min(both)}, as network {theirs.name} does")


def _destinations(net: Network, ep: Endpoint) -> set[str]:
    return {str(route.destination) for route in routes(net, ep)}


def _address_faults(address: IPInterface) -> Iterator[str]:
    ip: IPAddress = address.ip
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified:
        yield f"was given {ip}, which nobody can have"
    ends = (address.network.network_address, address.network.broadcast_address)
    if address.version == 4 and address.network.prefixlen < 31 and ip in ends:
        yield f"was given {address}, which is no address of a host"


def check_link(world: World, net: Network, ep: Endpoint, found: HostLink | None) -> Endpoint:
    """The endpoint with its link as found on the host, if that may be lent to a sandbox."""
    who, name = f"plugin {net.driver}", ep.source
    if found is None:
        raise Lie(who, f"wants the interface {name} moved, but there is none of that name")
    mine = {address.ip for address in ep.addresses}
    if found.loopback or found.routed or not mine.issuperset(found.addresses):
        raise Lie(who, f"wants the interface {name} moved, but the host itself uses it")
    if found.ours:
        raise Lie(who, f"wants the interface {name} moved, but that belongs to a network here")
    if found.master or found.ports:
        raise Lie(who, f"wants the interface {name} moved, but that is plugged into another")
    for other in world.endpoints.values():
        if other.source == name and other.id != ep.id:
            raise Lie(who, f"wants the interface {name} moved, as endpoint {other.id[:12]} does")
    return ep


def builtin(driver: str) -> bool:
    """Whether a driver is one of ours, or one whose name only we may have."""
    return driver in DRIVERS or driver in ("none", "overlay", "macvlan", "ipvlan", "")
