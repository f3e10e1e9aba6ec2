"""null: a sandbox with nothing in it but its loopback."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource

CABLE = False
WAY_OUT = False


def network(net: Network, site: Site) -> Iterator[Resource]:
    """Nothing."""
    yield from ()


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """Nothing: the sandbox itself is the controller's."""
    yield from ()
