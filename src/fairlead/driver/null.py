"""null: a sandbox with nothing in it but its loopback."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource

CABLE = False


def network(net: Network) -> Iterator[Resource]:
    """Nothing."""
    yield from ()


def endpoint(net: Network, ep: Endpoint, box: Sandbox) -> Iterator[Resource]:
    """Nothing: the sandbox itself is the controller's."""
    yield from ()
