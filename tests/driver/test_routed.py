"""routed: what stands on a host for a network whose hosts route to each other."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.driver import interface
from fairlead.driver.bridge import mac
from fairlead.driver.site import Site
from fairlead.model.endpoint import Endpoint
from fairlead.model.ground import Ground
from fairlead.model.network import Network, Pool, Scope
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Neighbour,
    Proxy,
    Resource,
    Route,
    Sysctl,
    Veth,
    state,
)

POOLS = tuple(Pool(ip_network(text), ip_network(text)[1]) for text in ("10.9.0.0/24", "fd09::/64"))
NET = Network(
    "abcdef0123456789" * 4,
    "flat",
    "overlay",
    1,
    POOLS,
    {"fairlead.encapsulation": "none"},
    scope=Scope.GLOBAL,
    enable_ipv6=True,
)
OWN, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
GROUND = Ground("eth0", {THERE: "eth0"}, frozenset({"eth0"}))
HERE = Site(OWN, True, (), GROUND)
BRIDGE = "br-abcdef012345"
ADDRESSES = (ip_interface("10.9.0.7/24"), ip_interface("fd09::7/64"))
DB = Peer("p", NET.id, THERE, "02:42:00:00:00:07", ADDRESSES, "db")
BOX = Sandbox("b" * 64, "b" * 64, "web", "web")
END = Endpoint("e", NET.id, BOX.id, "va", "eth0", "02:42:00:00:00:02",
               (ip_interface("10.9.0.2/24"), ip_interface("fd09::2/64")))  # fmt: skip


def test_the_bridge_is_the_same_on_every_host() -> None:
    """Gateways and MAC do not depend on the host, packets have the size of the way."""
    for own in (OWN, THERE):
        found = list(interface.driver(NET).network(NET, replace(HERE, underlay=own)))
        assert Bridge(HOST, BRIDGE, mac(NET), 1500) in found
        assert [r.address for r in found if isinstance(r, Address)] == [
            ip_interface("10.9.0.1/24"),
            ip_interface("fd09::1/64"),
        ]
        assert Sysctl(HOST, f"net/ipv4/neigh/{BRIDGE}/proxy_delay", "0", BRIDGE) in found
        state(found)


@pytest.mark.parametrize("site", [replace(HERE, inhabited=False), replace(HERE, underlay=None)])
def test_a_host_without_members_has_nothing(site: Site) -> None:
    """Nor has one that is in no cluster."""
    assert not list(interface.driver(NET).network(NET, site))


def test_a_member_is_on_the_bridge() -> None:
    """At the end of a cable, and the host need not ask where it is."""
    found = list(interface.driver(NET).endpoint(NET, END, BOX, HERE))
    assert Veth("va", BRIDGE, BOX.namespace, "eth0", END.mac, 1500) in found
    assert {r.address for r in found if isinstance(r, Neighbour)} == {a.ip for a in END.addresses}


def test_a_peer_is_a_route_to_its_host() -> None:
    """In both families; for IPv6 the next hop follows from the host's IPv4 address."""
    hop = ip_address("fe80::5efe:c000:202")
    want: set[Resource] = {
        Proxy(HOST, BRIDGE, ip_address("10.9.0.7")),
        Route(HOST, ip_network("10.9.0.7/32"), THERE, "eth0"),
        Proxy(HOST, BRIDGE, ip_address("fd09::7")),
        Route(HOST, ip_network("fd09::7/128"), hop, "eth0"),
    }
    assert set(interface.peer(NET, DB, HERE)) == want


def test_hosts_that_know_each_other_by_ipv6() -> None:
    """The host's address is the next hop of both families."""
    there = ip_address("2001:db8::2")
    site = replace(HERE, ground=replace(GROUND, near={there: "eth0"}))
    found = interface.peer(NET, replace(DB, host=there), site)
    assert {r.via for r in found if isinstance(r, Route)} == {there}


def test_a_peer_that_is_not_near_has_nothing() -> None:
    """Behind a router there is no way to it; without IPv6 on the link none of that family."""
    assert not list(interface.peer(NET, DB, replace(HERE, ground=Ground("eth0"))))
    found = list(interface.peer(NET, DB, replace(HERE, ground=replace(GROUND, six=frozenset()))))
    assert [r.destination.version for r in found if isinstance(r, Route)] == [4]
    assert len(found) == 2


def test_a_host_with_access_speaks_with_its_own_address() -> None:
    """It is on the bridge, and routes say so."""
    box, own = replace(BOX, access=True), END.addresses
    found = list(interface.driver(NET).endpoint(NET, END, box, HERE))
    assert found == [Address(HOST, BRIDGE, ip_interface(a.ip)) for a in own]
    routes = [r for r in interface.peer(NET, DB, replace(HERE, own=own)) if isinstance(r, Route)]
    assert [r.source for r in routes] == [a.ip for a in own]


def test_what_is_to_be_encrypted_is_never_routed() -> None:
    """A store may say both; it travels in a tunnel then, or not at all."""
    both = replace(NET, options={**NET.options, "encrypted": ""})
    assert both.encrypted
    assert not both.routed
    assert not any(isinstance(r, Route | Proxy) for r in interface.peer(both, DB, HERE))
