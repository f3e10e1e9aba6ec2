"""What a driver is, and which there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from fairlead.driver import bridge, host, null, remote
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource


class Driver(Protocol):
    """Says what should exist for a network and for an endpoint of it. Makes nothing."""

    CABLE: bool

    def network(self, net: Network) -> Iterable[Resource]: ...
    def endpoint(self, net: Network, ep: Endpoint, box: Sandbox) -> Iterable[Resource]: ...


DRIVERS: Mapping[str, Driver] = {"bridge": bridge, "host": host, "null": null}
"""The built-in drivers by the names that users give."""


def driver(net: Network) -> Driver:
    """The driver of a network; of one that is somebody else's what we do about it."""
    return remote if net.remote else DRIVERS[net.driver]
