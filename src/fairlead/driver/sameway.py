"""sameway: replies leave by the interface that has the address which was asked.

A sandbox has one main table, so whoever asks one of its addresses from behind a router is
answered by the gateway, be that on another network. With ``fairlead.reply_same_way`` an
endpoint has a table of its own for what comes from its addresses::

    from 192.0.2.128 lookup T        T: 192.0.2.0/24 dev eth1
                                        default via 192.0.2.254 dev eth1

The table has all ways of the endpoint, also to its own subnet: else what is for there would
leave by another interface that has an address of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

from fairlead.model.endpoint import Endpoint, StaticRoute
from fairlead.model.errors import Invalid
from fairlead.model.lookup import TABLES, Lookup
from fairlead.model.network import Network
from fairlead.model.options import REPLY_SAME_WAY, flag
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import EVERYWHERE, IPNetwork, Resource, Route

NEAR = ip_network("fe80::/64")


def endpoint(
    net: Network, ep: Endpoint, box: Sandbox, ways: Iterable[StaticRoute]
) -> Iterator[Resource]:
    """The table of an endpoint and who goes by it, if that is wanted and it leads anywhere."""
    if not ep.cable or box.access or net.internal or not wanted(net.options, ep.options):
        return
    table = TABLES + ep.order
    ways = tuple(ways)
    for address in ep.addresses:
        version, gateway = address.version, ep.gateway(address.version)
        if gateway is None:
            continue
        near = [address.network] if address.network.num_addresses > 1 else []
        links: list[IPNetwork] = [*near, *([NEAR] if version == 6 else [])]
        found = [StaticRoute(link) for link in links]
        found += [way for way in ways if way.destination.version == version]
        via = None if gateway.is_unspecified else gateway
        for way in (*found, StaticRoute(EVERYWHERE[version], via)):
            yield Route(box.namespace, way.destination, way.via, ep.inside, table=table)
        yield Lookup(box.namespace, address.ip, table, ep.inside)


def wanted(network: Mapping[str, str], endpoint: Mapping[str, str]) -> bool:
    """What the endpoint says, else its network; what makes no sense another host wrote."""
    try:
        return flag({**network, **endpoint}, REPLY_SAME_WAY, False)
    except Invalid:
        return False
