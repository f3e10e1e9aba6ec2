"""overlay: on each host a namespace with a bridge and a VXLAN device per segment.

::

    host A                                             host B
    sandbox ═ br0 ─ vxlan0 ))) UDP 4789, VNI 256 ((( vxlan0 ─ br0 ═ sandbox
              └─ namespace 1-<id> ─┘

Nothing is learnt from traffic. For each endpoint on another host there are a
forwarding entry (this MAC is on that host) and neighbour entries (this address has
that MAC), with which the device answers ARP and neighbour solicitations by itself.
A host on which nobody is on the network has none of it.

A host that has access to the network is on it like a sandbox: one more cable from the
bridge, that ends in the host's own namespace.

A network of several segments has all of them on each host, and its namespace routes: who is
on one has a route to the others by way of its gateway, which is in the same namespace on
every host. So a packet changes segments where it begins, and crosses hosts in the target's.

A network that was made without encapsulation is of another driver, `routed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from fairlead.driver.bridge import interior, mac
from fairlead.driver.site import Site
from fairlead.driver.wrapping import inside
from fairlead.model.endpoint import Endpoint, StaticRoute
from fairlead.model.network import Network, Pool, span
from fairlead.model.options import USUAL_MTU
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    IPInterface,
    Namespace,
    Neighbour,
    Resource,
    Route,
    Sysctl,
    Veth,
)
from fairlead.model.tunnel import PORT, SEALED_PORT, Fdb, Vxlan

CABLE = True
"""An endpoint has an interface."""
WAY_OUT = False
"""Its gateway leads nowhere: who needs the world gets an interface for that."""


def segments(net: Network) -> tuple[tuple[Pool, ...], ...]:
    """The pools by the segment that they are on: one per IPv4 pool, IPv6 pools beside them.

    The lowest IPv6 subnet goes with the lowest of IPv4, and so on; what is left with the
    lowest. Docker's client sends subnets in no order, so theirs cannot say it.
    """
    four = [pool for pool in net.pools if pool.subnet.version == 4]
    six = [pool for pool in net.pools if pool.subnet.version == 6]
    found: list[list[Pool]] = [[pool] for pool in four] or [[]]
    low = sorted(found, key=lambda pools: [int(pool.subnet.network_address) for pool in pools])
    for number, pool in enumerate(sorted(six, key=lambda pool: int(pool.subnet.network_address))):
        low[number if number < len(low) else 0].append(pool)
    return tuple(tuple(pools) for pools in found)


def segment(net: Network, addresses: tuple[IPInterface, ...]) -> int:
    """The number of the segment on which somebody with these addresses is."""
    for number, pools in enumerate(segments(net)):
        if any(a.ip in pool.subnet for a in addresses for pool in pools):
            return number
    return 0


def mtu(net: Network, site: Site) -> int:
    """What is left for the packets of containers, in bytes."""
    version = site.underlay.version if site.underlay is not None else 4
    return inside(net.bridge.mtu or USUAL_MTU, version, net.encrypted)


def network(net: Network, site: Site) -> Iterator[Resource]:
    """The namespace, and in it a bridge and a tunnel for each segment."""
    if site.underlay is None or not site.inhabited or not net.vnis:
        return
    space, size = span(net.id), mtu(net, site)
    port = SEALED_PORT if net.encrypted else PORT
    yield Namespace(space)
    yield from _router(net, space)
    for number, (vni, pools) in enumerate(zip(net.vnis, segments(net), strict=True)):
        bridge, device = f"br{number}", f"vxlan{number}"
        yield Bridge(space, bridge, mac(net), size)
        yield Vxlan(space, device, bridge, vni, site.underlay, size, port)
        if any(pool.subnet.version == 6 for pool in pools):
            for link in (bridge, device):
                yield Sysctl(space, f"net/ipv6/conf/{link}/disable_ipv6", "0", link)
                yield Sysctl(space, f"net/ipv6/conf/{link}/accept_ra", "0", link)
            yield Sysctl(space, f"net/ipv6/conf/{bridge}/accept_dad", "0", bridge)
        for pool in pools:
            if pool.gateway is not None:
                address = ip_interface(f"{pool.gateway}/{pool.subnet.prefixlen}")
                yield Address(space, bridge, address)


def _router(net: Network, space: str) -> Iterator[Resource]:
    """The namespace routes between segments, if there are several."""
    if len(net.vnis) > 1:
        yield Sysctl(space, "net/ipv4/ip_forward", "1")
        if net.enable_ipv6:
            yield Sysctl(space, "net/ipv6/conf/all/forwarding", "1")


def routes(net: Network, ep: Endpoint) -> Iterator[StaticRoute]:
    """The ways from an endpoint to the other pools of its network, as far as it has the family."""
    here = segment(net, ep.addresses)
    found = segments(net)
    for number, pools in enumerate(found):
        for pool in pools:
            version = pool.subnet.version
            own = [a for a in ep.addresses if a.version == version]
            if not own or any(address.ip in pool.subnet for address in own):
                continue
            if number == here:
                yield StaticRoute(pool.subnet)
                continue
            for near in found[here]:
                if near.gateway is not None and any(a.ip in near.subnet for a in own):
                    yield StaticRoute(pool.subnet, near.gateway)


def endpoint(net: Network, ep: Endpoint, box: Sandbox, site: Site) -> Iterator[Resource]:
    """The cable, what is at its far end, and the ways from there to other subnets."""
    bridge = f"br{segment(net, ep.addresses)}"
    yield Veth(
        ep.ifname,
        bridge,
        box.namespace,
        ep.inside,
        ep.mac,
        mtu(net, site),
        namespace=span(net.id),
    )
    if box.access:
        yield from _on_host(ep)
    yield from interior(ep, box)
    for route in routes(net, ep):
        yield Route(box.namespace, route.destination, route.via, ep.inside)


def _on_host(ep: Endpoint) -> Iterator[Resource]:
    """Settings of the host's own interface: it hears what is from its network and for it."""
    usual = {"ipv4": {"rp_filter": "1", "arp_ignore": "1"}}
    if ep.ipv6 is None:
        usual["ipv6"] = {"disable_ipv6": "1"}
    else:
        # Else the first packet is lost while the address is unsure; the cluster gave it to
        # nobody else.
        usual["ipv6"] = {"accept_dad": "0"}
    for family, settings in usual.items():
        for name, value in settings.items():
            yield Sysctl(HOST, f"net/{family}/conf/{ep.inside}/{name}", value, ep.inside)


def peer(net: Network, who: Peer, site: Site) -> Iterator[Resource]:
    """Where somebody on another host is."""
    space, device = span(net.id), f"vxlan{segment(net, who.addresses)}"
    yield Fdb(space, device, who.mac, who.host)
    for address in who.addresses:
        yield Neighbour(space, device, address.ip, who.mac)
