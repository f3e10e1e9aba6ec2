"""macvlan and ipvlan: each endpoint is one more link on a parent of the host's.

::

    eth0 ─┬─ eth0.10 (ours, if nobody made it) ─┬─ macvlan eth0 in a sandbox
          │                                     └─ macvlan fl-… on the host, if it has access
          └─ … or a dummy, which leads nowhere, if no parent was named

Packets go past the host's bridges and firewall: whoever is on the parent's segment
reaches the containers, and the host does not, unless it has a link there, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from fairlead.driver.bridge import interior, mac
from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.parent import HOST_ADDRESS, PASSTHRU, host_link, vlan
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, Address, IPInterface, Resource, Route, Sysctl
from fairlead.model.underlay import Dummy, Sublink, Vlan

CABLE = True
WAY_OUT = True


def network(net: Network, site: Site) -> Iterator[Resource]:
    """The parent, unless it stood before us, and the host's own link on it."""
    options = net.underlay
    if not options.parent:
        yield Dummy(net.parent)
    elif not net.adopted:
        yield Vlan(net.parent, *vlan(net.parent))
    if not net.adopted:
        # Nobody in there is to give the host addresses.
        yield Sysctl(HOST, f"net/ipv6/conf/{net.parent}/disable_ipv6", "1", net.parent)
    if options.host_access:
        yield from _host(net)


def _host(net: Network) -> Iterator[Resource]:
    name = host_link(net.id)
    yield _link(net, HOST, name, mac(net))
    addresses = tuple(_alone(pool.auxiliary[HOST_ADDRESS]) for pool in net.pools)
    if any(address.version == 6 for address in addresses):
        # The last one: else the first packet to each container is lost while the address
        # is unsure.
        for setting, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")):
            yield Sysctl(HOST, f"net/ipv6/conf/{name}/{setting}", value, name)
    for address in addresses:
        yield Address(HOST, name, address)


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """The link in the sandbox, its addresses, and the host's way to them."""
    yield _link(net, box.namespace, ep.inside, ep.mac)
    yield from interior(ep, box)
    if net.underlay.host_access:
        for address in ep.addresses:
            # The parent has the way to the whole subnet, mostly.
            yield Route(HOST, _alone(address.ip).network, None, host_link(net.id))


def _link(net: Network, namespace: str, name: str, mac: str) -> Sublink:
    options = net.underlay
    own = net.driver == "macvlan" and options.mode != PASSTHRU
    return Sublink(
        namespace,
        name,
        net.parent,
        net.driver,
        options.mode,
        options.flag,
        mac if own else "",
        options.mtu,
    )


def _alone(address: object) -> IPInterface:
    """An address without its subnet."""
    return ip_interface(str(address))
