"""What a driver is, and which there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from fairlead.driver import bridge, host, null, overlay, parent, remote, routed
from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint, StaticRoute
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource


class Driver(Protocol):
    """Says what should exist for a network and for an endpoint of it. Makes nothing."""

    CABLE: bool
    """Whether an endpoint has an interface."""
    WAY_OUT: bool
    """Whether its gateway leads to the world."""

    def network(self, net: Network, site: Site) -> Iterable[Resource]: ...
    def endpoint(
        self, net: Network, ep: Endpoint, box: Sandbox, site: Site
    ) -> Iterable[Resource]: ...


class Spanning(Driver, Protocol):
    """One whose networks span hosts."""

    def peer(self, net: Network, who: Peer, site: Site) -> Iterable[Resource]: ...
    def routes(self, net: Network, ep: Endpoint) -> Iterable[StaticRoute]: ...


DRIVERS: Mapping[str, Driver] = {
    "bridge": bridge,
    "host": host,
    "ipvlan": parent,
    "macvlan": parent,
    "null": null,
    "overlay": overlay,
}
"""The built-in drivers by the names that users give."""


def driver(net: Network) -> Driver:
    """The driver of a network; of one that is somebody else's what we do about it."""
    return remote if net.remote else _spanning(net) or DRIVERS[net.driver]


def peer(net: Network, who: Peer, site: Site) -> Iterable[Resource]:
    """What should exist for an endpoint on another host."""
    found = _spanning(net)
    return () if found is None else found.peer(net, who, site)


def routes(net: Network, ep: Endpoint) -> Iterable[StaticRoute]:
    """The ways that an endpoint gives its sandbox beside those to its own subnets and outward."""
    found = _spanning(net)
    return ep.routes if found is None else found.routes(net, ep)


def _spanning(net: Network) -> Spanning | None:
    if net.driver != "overlay":
        return None
    return routed if net.routed else overlay
