"""bridge: one Linux bridge per network, one veth pair per endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.options import endpoint_sysctls
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, Address, Bridge, Resource, Sysctl, Veth

CABLE = True
"""An endpoint has an interface."""
WAY_OUT = True
"""Its gateway leads to the world."""


def network(net: Network, site: Site) -> Iterator[Resource]:
    """The bridge, its addresses, and deaf ears for router advertisements."""
    if net.adopted:
        return
    options = net.bridge
    yield Bridge(HOST, net.ifname, mac(net), options.mtu)
    # A container may forge router advertisements; the host must not believe them.
    yield Sysctl(HOST, f"net/ipv6/conf/{net.ifname}/accept_ra", "0", net.ifname)
    if net.enable_ipv6:
        yield Sysctl(HOST, f"net/ipv6/conf/{net.ifname}/disable_ipv6", "0", net.ifname)
        # The address it asks for neighbours with would be unsure for a second, in which the
        # first packet to each container is lost. It is made from the network's id: nobody
        # else has it.
        yield Sysctl(HOST, f"net/ipv6/conf/{net.ifname}/accept_dad", "0", net.ifname)
    for pool in net.pools:
        inhibited = options.inhibit_ipv4 and pool.subnet.version == 4
        if pool.gateway is not None and not inhibited:
            address = ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}")
            yield Address(HOST, net.ifname, address)


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """The cable and the addresses at its far end."""
    yield Veth(ep.ifname, net.ifname, box.namespace, ep.inside, ep.mac, net.bridge.mtu)
    yield from interior(ep, box)


def interior(ep: Endpoint, box: Sandbox) -> Iterator[Resource]:
    """What an interface in a sandbox has: settings and addresses."""
    for path, value in _sysctls(ep).items():
        yield Sysctl(box.namespace, path.replace("IFNAME", ep.inside), value, ep.inside)
    for address in (*ep.addresses, *ep.link_local):
        yield Address(box.namespace, ep.inside, address)


def _sysctls(ep: Endpoint) -> dict[str, str]:
    """Settings of the interface in the sandbox; the user's word counts.

    IPv6 is off on interfaces of a sandbox unless they have such an address. A
    neighbour may forge router advertisements here, too.
    """
    usual = {}
    if any(address.version == 6 for address in (*ep.addresses, *ep.link_local)):
        usual = {
            "net/ipv6/conf/IFNAME/disable_ipv6": "0",
            "net/ipv6/conf/IFNAME/accept_ra": "0",
        }
    return {**usual, **dict(endpoint_sysctls(ep.options))}


def mac(net: Network) -> str:
    """A bridge's own address: from the network's id, so that it is the same after any repair."""
    return ":".join(["02", "42", *(net.id[i : i + 2] for i in range(0, 8, 2))])
