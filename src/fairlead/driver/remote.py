"""remote: what is to be done here for a network whose driver is somebody else's program.

That program makes what stands for the network on the host; we lend its link to the sandbox
and give it there the addresses and routes that were agreed upon.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.options import endpoint_sysctls
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Address, Lent, Resource, Route, Sysctl

CABLE = True
WAY_OUT = False
"""Where its gateway is, the other program says with each endpoint."""


def network(net: Network, site: Site) -> Iterator[Resource]:
    """Nothing: that is the other program's."""
    yield from ()


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """The link under its name in the sandbox, its addresses, and the routes that were asked for."""
    if not ep.source:
        return
    yield Lent(ep.source, box.namespace, ep.inside, ep.mac)
    settings = {}
    if any(address.version == 6 for address in (*ep.addresses, *ep.link_local)):
        settings = {
            "net/ipv6/conf/IFNAME/disable_ipv6": "0",
            "net/ipv6/conf/IFNAME/accept_ra": "0",
        }
    for path, value in {**settings, **dict(endpoint_sysctls(ep.options))}.items():
        yield Sysctl(box.namespace, path.replace("IFNAME", ep.inside), value, ep.inside)
    for address in (*ep.addresses, *ep.link_local):
        yield Address(box.namespace, ep.inside, address)
    for route in ep.routes:
        yield Route(box.namespace, route.destination, route.via, ep.inside)
