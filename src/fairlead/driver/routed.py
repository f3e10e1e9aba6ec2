"""routed: overlays without a tunnel; hosts that share a segment are each other's routers.

::

    host A                                                  host B, 192.0.2.3
    sandbox ═ br-<id> ── route 10.0.0.3/32 via 192.0.2.3 ── br-<id> ═ sandbox 10.0.0.3
              10.0.0.1, the same MAC on every host

A container takes the whole network for its own segment. Of whoever is on another host, the
bridge answers that it is here (a proxy entry), and the host routes what comes. Whoever is
on this host has a permanent neighbour entry: nobody is asked who has moved or come anew.

IPv6 needs a next hop of its own where hosts know each other by IPv4: each host has a
link-local address that follows from the other one (`hop`), so that nothing of it needs to be in
the store. The other way round the kernel takes an IPv6 next hop for IPv4 as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_interface

from fairlead.driver.bridge import interior, mac
from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint, StaticRoute
from fairlead.model.network import Network
from fairlead.model.options import USUAL_MTU
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    IPAddress,
    IPInterface,
    Neighbour,
    Proxy,
    Resource,
    Route,
    Sysctl,
    Veth,
)

CABLE = True
WAY_OUT = False
"""docker_gwbridge is the way to the world, as on every overlay."""
HOPS = IPv6Address("fe80::5efe:0:0")
"""IPv4 addresses as link-local ones: the identifier is 00-00-5E, FE and the address (RFC 5214)."""


def mtu(net: Network) -> int:
    """That of the way between hosts, in bytes: nothing is put around a packet."""
    return net.bridge.mtu or USUAL_MTU


def network(net: Network, site: Site) -> Iterator[Resource]:
    """The bridge with the gateways' addresses, and what has it answer for others at once."""
    if site.underlay is None or not site.inhabited:
        return
    name = net.ifname
    yield Bridge(HOST, name, mac(net), mtu(net))
    # A container may forge router advertisements; the host must not believe them.
    yield Sysctl(HOST, f"net/ipv6/conf/{name}/accept_ra", "0", name)
    # Else the kernel waits for most of a second, in case that somebody else answers first.
    yield Sysctl(HOST, f"net/ipv4/neigh/{name}/proxy_delay", "0", name)
    # A bridge whose only container sets its interface down would forget for whom it answers.
    yield Sysctl(HOST, f"net/ipv4/conf/{name}/arp_evict_nocarrier", "0", name)
    if net.enable_ipv6:
        for setting, value in (
            ("disable_ipv6", "0"),
            ("accept_dad", "0"),
            ("ndisc_evict_nocarrier", "0"),
            ("proxy_ndp", "1"),
        ):
            yield Sysctl(HOST, f"net/ipv6/conf/{name}/{setting}", value, name)
        yield Sysctl(HOST, f"net/ipv6/neigh/{name}/proxy_delay", "0", name)
    for pool in net.pools:
        if pool.gateway is not None:
            address = ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}")
            yield Address(HOST, name, address)


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """The cable, the addresses at its far end, and where the host finds them.

    The host itself needs no cable: it has its address on the bridge.
    """
    if box.access:
        for address in ep.addresses:
            yield Address(HOST, net.ifname, _alone(address.ip))
        return
    yield Veth(ep.ifname, net.ifname, box.namespace, ep.inside, ep.mac, mtu(net))
    yield from interior(ep, box)
    for route in routes(net, ep):
        yield Route(box.namespace, route.destination, route.via, ep.inside)
    for address in ep.addresses:
        yield Neighbour(HOST, net.ifname, address.ip, ep.mac)


def routes(net: Network, ep: Endpoint) -> Iterator[StaticRoute]:
    """To other pools directly: all are on one bridge, which answers for whoever is elsewhere."""
    for pool in net.pools:
        own = [a.ip for a in ep.addresses if a.version == pool.subnet.version]
        if own and not any(ip in pool.subnet for ip in own):
            yield StaticRoute(pool.subnet)


def peer(net: Network, who: Peer, site: Site) -> Iterator[Resource]:
    """The route to somebody on another host that shares a segment with this one."""
    link = site.ground.near.get(who.host)
    for address in who.addresses if link is not None else ():
        via = hop(who.host, address.version)
        if link is None or (via.version == 6 and link not in site.ground.six):
            continue
        own = next((a.ip for a in site.own if a.version == address.version), None)
        yield Proxy(HOST, net.ifname, address.ip)
        yield Route(HOST, _alone(address.ip).network, via, link, own)


def hop(host: IPAddress, version: int) -> IPAddress:
    """The next hop on the way to a host, for packets of an IP version."""
    if version == 6 and host.version == 4:
        return IPv6Address(int(HOPS) | int(host))
    return host


def own_hop(site: Site) -> Iterator[Resource]:
    """The address by which other hosts reach this one with IPv6, if they know it by IPv4."""
    link = site.ground.link
    if site.underlay is not None and site.underlay.version == 4 and link in site.ground.six:
        yield Address(HOST, link, _alone(hop(site.underlay, 6)))


def _alone(address: IPAddress) -> IPInterface:
    """An address without its subnet."""
    return ip_interface(str(address))
