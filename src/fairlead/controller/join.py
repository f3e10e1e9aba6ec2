"""Joining: the endpoint that a sandbox gets on a network. Draws names, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import sha256

from fairlead.controller import parents
from fairlead.driver.interface import driver
from fairlead.ipam.addresses import assign, check_endpoint, check_mac, link_local
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Failed, Forbidden
from fairlead.model.hold import Holds
from fairlead.model.lease import Lease
from fairlead.model.network import Network
from fairlead.model.options import ENDPOINT_IFNAME, interface_name
from fairlead.model.parent import host_link
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.world import Change, World

Draw = Callable[[int], str]
"""Gives so many random bytes, as hex digits."""
Held = Callable[[Network], Holds]
"""Tells which addresses of a network are kept for containers that do not run."""


def nothing_held(net: Network) -> Holds:
    """Nobody keeps an address."""
    return {}


class Joiner:
    """Gathers the endpoints of one sandbox before they are committed together.

    `links` are the interfaces that are in its namespace whatever we do.
    """

    def __init__(
        self,
        world: World,
        box: Sandbox,
        draw: Draw,
        held: Held = nothing_held,
        links: frozenset[str] = frozenset(),
    ) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self._world = world.after(Change(put=(box,)))
        self._box = box
        self._draw = draw
        self._held = held
        self._links = links

    def join(self, net: Network, request: EndpointRequest, ours: bool = True) -> Endpoint:
        """One more endpoint. Raises Forbidden if it is there already, or the IPAM's errors.

        Addresses that are not `ours` to give come later.
        """
        mine = self._world.in_sandbox(self._box.id)
        if any(e.network == net.id for e in mine):
            raise Forbidden(
                f"endpoint with name {self._box.name} already exists in network {net.name}"
            )
        check_endpoint(net, request)
        cable = driver(net).CABLE and not self._box.host
        addresses = self._addresses(net, request) if cable and ours else ()
        id_ = self._draw(32)
        endpoint = Endpoint(
            id=id_,
            network=net.id,
            sandbox=self._box.id,
            ifname=f"veth{self._draw(4)[:7]}",
            inside=self._inside(net, request, mine) if cable else "",
            mac=own_mac(net, self._box, request, id_, addresses),
            addresses=addresses,
            gateways=ways(net, self._box, addresses) if cable else (),
            link_local=link_local(request) if cable else (),
            aliases=tuple(request.aliases),
            links=tuple(_link(text) for text in request.links),
            options=dict(request.options),
            priority=request.priority,
            order=max((e.order for e in mine), default=0) + 1,
            fixed=bool(request.ipv4 or request.ipv6),
            cable=cable,
        )
        self._world = self._world.after(Change(put=(endpoint,)))
        self.endpoints = (*self.endpoints, endpoint)
        return endpoint

    def _addresses(self, net: Network, request: EndpointRequest) -> tuple[IPInterface, ...]:
        return assign(
            net,
            request,
            {version: self._world.taken(net.id, version) for version in (4, 6)},
            held=self._held(net),
            container=self._box.container,
            name=self._name,
        )

    def _name(self, endpoint: str) -> str:
        sandbox = self._world.endpoints[endpoint].sandbox
        return self._world.sandboxes[sandbox].name or endpoint[:12]

    def _inside(self, net: Network, request: EndpointRequest, mine: tuple[Endpoint, ...]) -> str:
        if self._box.access:
            return host_link(net.id)
        taken = {e.inside for e in mine} | self._links
        asked = request.options.get(ENDPOINT_IFNAME, "")
        if asked:
            if interface_name(asked, "the interface name") in taken | {"lo"}:
                what = f"sandbox {self._box.name}" if self._box.free else "this container"
                raise Failed(f"interface name {asked} is taken in {what}")
            return asked
        return free_name(net.bridge.prefix, taken)


def own_mac(
    net: Network,
    box: Sandbox,
    request: EndpointRequest,
    endpoint: str,
    addresses: tuple[IPInterface, ...],
) -> str:
    """The MAC of an endpoint; of a driver that is somebody else's it may have one already."""
    owner = f"{box.container}{net.id}"
    # A server knows who asks by the MAC, which comes before the address there.
    usual = mac_of(owner) if net.leased else mac(addresses, owner)
    if net.on_parent:
        found = parents.mac_of(net, request, usual)
        return check_mac(found) if found else ""
    if request.mac:
        return check_mac(request.mac)
    if net.remote:
        return ""
    # Other hosts may remember who had the address before: the MAC is another for each.
    return mac_of(endpoint) if net.shared else usual


def ways(
    net: Network,
    box: Sandbox,
    addresses: tuple[IPInterface, ...],
    lease: Lease | None = None,
) -> tuple[IPAddress, ...]:
    """Where an endpoint with these addresses leads; somebody else's driver says that itself."""
    if net.remote or not driver(net).WAY_OUT:
        return ()
    found = parents.ways_out(net, addresses)
    if lease is not None and lease.router is not None:
        found = (lease.router,)
    return tuple(w for w in found if w.version not in box.routed)


def free_name(prefix: str, taken: Collection[str]) -> str:
    """The prefix with the lowest number that is free."""
    return next(n for n in (f"{prefix}{i}" for i in range(len(taken) + 1)) if n not in taken)


def _link(text: str) -> tuple[str, str]:
    """``target:alias`` as (alias, target)."""
    target, _, alias = text.partition(":")
    return (alias or target, target.lstrip("/"))


def mac(addresses: tuple[IPInterface, ...], owner: str) -> str:
    """02:42 and the four bytes of the IPv4 address: one address, one MAC, as people know it.

    Without such an address they follow from the owner, so that its MAC is as steady.
    """
    for address in addresses:
        if address.version == 4:
            return "02:42:" + address.ip.packed.hex(":")
    return mac_of(owner) if addresses else ""


def mac_of(owner: str) -> str:
    """02:42 and four bytes that are the owner's alone."""
    return "02:42:" + sha256(owner.encode()).digest()[:4].hex(":")
