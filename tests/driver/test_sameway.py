"""Tables of endpoints whose replies leave by the interface that was asked."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.driver import sameway
from fairlead.model.endpoint import Endpoint, StaticRoute
from fairlead.model.lookup import TABLES, Lookup
from fairlead.model.network import Network
from fairlead.model.options import REPLY_SAME_WAY
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource, Route

BOX = Sandbox("b" * 64, "c" * 64, "web", "web")
WANTED = {REPLY_SAME_WAY: "true"}


def found(
    addresses: tuple[str, ...],
    gateways: tuple[str, ...],
    ways: tuple[StaticRoute, ...] = (),
    network: dict[str, str] = WANTED,
    endpoint: dict[str, str] | None = None,
    internal: bool = False,
) -> list[Resource]:
    """What an endpoint has in its sandbox that is the third of its networks."""
    net = Network("n" * 64, "net", "macvlan", 0, options=network, internal=internal)
    ep = Endpoint(
        "e", net.id, BOX.id, "", "eth2", "",
        addresses=tuple(map(ip_interface, addresses)),
        gateways=tuple(map(ip_address, gateways)),
        options=endpoint or {}, order=3,
    )  # fmt: skip
    return list(sameway.endpoint(net, ep, BOX, ways))


def route(destination: str, via: str = "") -> Resource:
    """A way in its table."""
    hop = ip_address(via) if via else None
    return Route(BOX.namespace, ip_network(destination), hop, "eth2", table=TABLES + 3)


def lookup(source: str) -> Resource:
    return Lookup(BOX.namespace, ip_address(source), TABLES + 3, "eth2")


def test_both_families() -> None:
    """Its subnet, its neighbours' link-local addresses, the way out; and who goes by them."""
    assert found(("192.0.2.9/24", "2001:db8::9/64"), ("192.0.2.1", "2001:db8::1")) == [
        route("192.0.2.0/24"),
        route("0.0.0.0/0", "192.0.2.1"),
        lookup("192.0.2.9"),
        route("2001:db8::/64"),
        route("fe80::/64"),
        route("::/0", "2001:db8::1"),
        lookup("2001:db8::9"),
    ]


def test_ways_that_the_network_has() -> None:
    """Go before its way out, and are of the table as well; a link may be all the way there is."""
    ways = (StaticRoute(ip_network("10.0.0.0/8"), ip_address("192.0.2.2")),)
    assert found(("192.0.2.9/32",), ("0.0.0.0",), ways) == [
        route("10.0.0.0/8", "192.0.2.2"),
        route("0.0.0.0/0"),
        lookup("192.0.2.9"),
    ]


@pytest.mark.parametrize(
    ("network", "endpoint", "some"),
    [
        ({}, {}, False),
        (WANTED, {}, True),
        ({}, WANTED, True),
        (WANTED, {REPLY_SAME_WAY: "false"}, False),
        ({REPLY_SAME_WAY: "perhaps"}, {}, False),
    ],
)
def test_who_says_so(network: dict[str, str], endpoint: dict[str, str], some: bool) -> None:
    """The endpoint's word counts before its network's; neither is needed."""
    made = found(("192.0.2.9/24",), ("192.0.2.1",), network=network, endpoint=endpoint)
    assert bool(made) == some


def test_networks_that_lead_nowhere() -> None:
    """Nobody asks from behind their router: there is nothing to say."""
    assert found(("192.0.2.9/24",), ()) == []
    assert found(("192.0.2.9/24",), ("192.0.2.1",), internal=True) == []
