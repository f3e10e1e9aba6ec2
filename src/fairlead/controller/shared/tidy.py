"""tidy: what the store says of this host becomes what this host is.

This host is the truth about its own endpoints. What a crash, an absence of the store or a
store that was set back left behind is put right here, and nowhere else: records of
endpoints that are no more go, those that are missing or say something else are written.
Two endpoints with one address cannot both stay; the one with the lower id does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass

from fairlead.cluster.endpoint import as_peer
from fairlead.cluster.network import ours
from fairlead.cluster.overlay import encode_overlay, overlay_of
from fairlead.cluster.pools import PoolId
from fairlead.cluster.view import View
from fairlead.controller.shared.allocate import request_address, request_pool
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.register import forget_endpoint, put_endpoint, put_network
from fairlead.controller.shared.vnis import obtain_vni
from fairlead.driver.overlay import segments
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import FairleadError, Forbidden
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import World


@dataclass(frozen=True, slots=True)
class Untidy:
    """What the store should say otherwise of this host."""

    networks: tuple[Network, ...] = ()
    """Networks that somebody here is on, and that are gone from the store, or their VNIs are."""
    put: tuple[tuple[Network, Endpoint, Sandbox], ...] = ()
    """Endpoints that are missing there, or are not as they are here."""
    forget: tuple[tuple[str, str], ...] = ()
    """Endpoints that are said to be here and are not: ids of network and endpoint."""
    yielding: tuple[Endpoint, ...] = ()
    """Endpoints of ours that must leave: another has their address, and stays."""

    def __bool__(self) -> bool:
        return any((self.networks, self.put, self.forget, self.yielding))


def untidy(world: World, view: View, own: IPAddress, promised: Collection[str]) -> Untidy:
    """What the store should say otherwise. Pure. Of what is `promised` nothing is said."""
    networks: dict[str, Network] = {}
    put, yielding = [], []
    for net, ep, box in _ours(world):
        rivals = view.rivals(net.id, ep.id)
        if any(rival < ep.id for rival in rivals):
            yielding.append(ep)
            continue
        lost = net.driver == "overlay" and net.id not in view.overlays
        lost = lost and view.keys.overlay(net.id) not in view.complaints
        if (net.id not in view.networks or lost) and not box.access:
            networks[net.id] = net
        if box.access and (net.id not in view.networks or view.networks[net.id].removing):
            # It goes with its network, and keeps none.
            continue
        if view.said(net.id, ep.id) != as_peer(net, ep, box, own):
            put.append((net, ep, box))
    forget = tuple(
        (peer.network, peer.id)
        for peer in view.on(own)
        if peer.id not in world.endpoints and peer.id not in promised
    )
    return Untidy(tuple(networks.values()), tuple(put), forget, tuple(yielding))


async def tidy(place: Place, what: Untidy, own: IPAddress, warn: Callable[[str], None]) -> bool:
    """Write it. Whether all could be written; what could not is warned of."""
    done = True
    for net in what.networks:
        done &= await _trying(_restore(place, net), f"network {net.name}", warn)
    for network, endpoint in what.forget:
        step = forget_endpoint(place, network, endpoint)
        done &= await _trying(step, f"endpoint {endpoint[:12]}", warn)
    for net, ep, box in what.put:
        done &= await _trying(_register(place, net, ep, box, own), f"endpoint of {box.name}", warn)
    return done


async def _restore(place: Place, net: Network) -> None:
    """A network that the store lost: with its pools, and with its VNIs if nobody has them now."""
    for pool in net.pools if ours(net) else ():
        try:
            await request_pool(place, pool.subnet, pool.ip_range)
        except Forbidden:
            # Taken already: by this very network, or by one that it now collides with,
            # which put_network finds.
            continue
    if await place.value(place.keys.network(net.id)) is None:
        await put_network(place, net)
    elif net.driver == "overlay":
        overlay = encode_overlay(overlay_of(net))
        await place.alter(place.keys.overlay(net.id), lambda old: old or overlay)
    # Nobody but an overlay has any.
    for pools, vni in zip(segments(net), net.vnis, strict=False):
        await obtain_vni(place, net.id, pools[0].subnet, after=vni - 1, had=vni)


async def _register(place: Place, net: Network, ep: Endpoint, box: Sandbox, own: IPAddress) -> None:
    for address in ep.addresses if ours(net) else ():
        try:
            await request_address(place, PoolId(address.network), address.ip)
        except Forbidden:
            # As it should be: it is taken, for this endpoint.
            continue
    await put_endpoint(place, net, ep, box, own)


async def _trying(step: Awaitable[None], what: str, warn: Callable[[str], None]) -> bool:
    try:
        await step
    except FairleadError as error:
        fault = error.message
    except ExceptionGroup as group:
        fault = str(group.exceptions[0])
    else:
        return True
    warn(f"the cluster's store does not know {what} as it is: {fault}")
    return False


def _ours(world: World) -> Iterator[tuple[Network, Endpoint, Sandbox]]:
    """The endpoints of this host on networks of the cluster."""
    for net in world.networks.values():
        if net.shared and (net.driver == "overlay" or net.remote):
            # One without an address is nobody's to reach; only plugins have such.
            for ep in (e for e in world.on_network(net.id) if e.addresses):
                yield net, ep, world.sandboxes[ep.sandbox]
