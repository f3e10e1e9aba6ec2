"""Pools: Docker's defaults and order, and its words for what it refuses."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.ipam.addresses import AddressInUse, PoolFull, assign, check_endpoint
from fairlead.ipam.pool import DEFAULT_BASES, choose, parse, settle
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import FairleadError, Invalid
from fairlead.model.network import Network, Pool, PoolRequest

GATEWAYS = {4: True, 6: True}


def test_the_default_pools_in_docker_s_order() -> None:
    """15 of /16 from 172.17, then 16 of /20 from 192.168: 31 in all, then an error."""
    taken: list[IPv4Network] = []
    for _ in range(31):
        pool = choose(DEFAULT_BASES, taken, ())
        taken.append(pool.subnet)  # type: ignore[arg-type]

    assert [str(n) for n in taken[:2]] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert [str(n) for n in taken[14:17]] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    with pytest.raises(Invalid, match="all predefined address pools have been fully subnetted"):
        choose(DEFAULT_BASES, taken, ())


def test_the_lowest_pool_that_is_free_again() -> None:
    """A pool in the middle that is given back is the next one given out."""
    taken = [ip_network(f"172.{i}.0.0/16") for i in range(17, 26) if i != 20]

    assert str(choose(DEFAULT_BASES, taken, ()).subnet) == "172.20.0.0/16"


def test_routes_of_the_host_are_avoided() -> None:
    """A pool that overlaps a route of the host, however small, is passed over."""
    pool = choose(DEFAULT_BASES, (), (ip_network("172.17.200.0/24"), ip_network("172.16.0.0/15")))

    assert str(pool.subnet) == "172.18.0.0/16"
    assert pool.gateway == ip_address("172.18.0.1")


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (PoolRequest("abc"), 400, "invalid subnet abc: invalid CIDR block notation"),
        (PoolRequest("172.30.1.5/24"), 400, "invalid subnet 172.30.1.5/24: it should be 172.30.1.0/24"),
        (PoolRequest("172.30.1.0/24", gateway="172.30.2.1"), 400, "invalid gateway 172.30.2.1: parent subnet 172.30.1.0/24 doesn't contain this address"),
        (PoolRequest("172.30.1.0/24", gateway="zz"), 400, "invalid gateway zz: invalid address"),
        (PoolRequest("172.30.1.0/24", gateway="172.30.1.0"), 500, "failed to allocate gateway (172.30.1.0): Address already in use"),
        (PoolRequest("172.30.1.0/24", gateway="172.30.1.255"), 500, "failed to allocate gateway (172.30.1.255): Address already in use"),
        (PoolRequest("172.30.1.0/24", "172.30.2.0/25"), 400, "invalid ip-range 172.30.2.0/25: parent subnet 172.30.1.0/24 doesn't contain ip-range"),
        (PoolRequest("172.30.1.0/24", "172.30.0.0/16"), 400, "invalid ip-range 172.30.0.0/16: CIDR block is bigger than its parent subnet 172.30.1.0/24"),
        (PoolRequest("172.30.1.0/24", "q"), 400, "invalid ip-range q: invalid CIDR block notation"),
        (PoolRequest("172.30.1.0/24", auxiliary={"a": "172.30.9.9"}), 400, "invalid auxiliary address a: parent subnet 172.30.1.0/24 doesn't contain this address"),
        (PoolRequest("172.30.1.0/24", gateway="172.30.1.1", auxiliary={"a": "172.30.1.1"}), 500, "failed to allocate secondary ip address (a:172.30.1.1): Address already in use"),
        (PoolRequest("", gateway="172.30.1.1"), 400, "invalid subnet : invalid CIDR block notation"),
        (PoolRequest("172.17.0.0/24"), 403, "invalid pool request: Pool overlaps with other one on this address space"),
    ],
)  # fmt: skip
def test_what_docker_refuses(request_: PoolRequest, status: int, message: str) -> None:
    """Status and words are Docker's."""
    with pytest.raises(FairleadError) as refused:
        settle(parse([request_]), [ip_network("172.17.0.0/16")], GATEWAYS)

    assert refused.value.status == status
    assert message in refused.value.message


@pytest.mark.parametrize("subnet", ["10.0.0.0/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32"])
def test_small_subnets_are_taken(subnet: str) -> None:
    """Docker takes them, so do we; the gateway is inside."""
    (pool,) = settle(parse([PoolRequest(subnet)]), [], GATEWAYS)

    assert pool.gateway in pool.subnet


def network(subnet: str, **more: object) -> Network:
    pool = Pool(ip_network(subnet), **more)  # type: ignore[arg-type]
    return Network("n" * 64, "w", "bridge", 0, (pool,))


def endpoint(address: str) -> Endpoint:
    return Endpoint(f"e{address}", "n" * 64, "s", "veth0", "eth0", "", (ip_interface(address),))


def test_the_order_of_addresses() -> None:
    """As observed: lowest free, the aux address and the gateway left out, then full."""
    net = network(
        "172.31.9.0/29", gateway=ip_address("172.31.9.1"), auxiliary={"x": ip_address("172.31.9.5")}
    )
    here: list[Endpoint] = []
    given_: list[str] = []
    for _ in range(4):
        (address,) = assign(net, EndpointRequest(), here)
        here.append(endpoint(str(address)))
        given_.append(str(address.ip))

    assert given_ == ["172.31.9.2", "172.31.9.3", "172.31.9.4", "172.31.9.6"]
    with pytest.raises(
        PoolFull, match="no available IPv4 addresses on this network's address pools"
    ):
        assign(net, EndpointRequest(), here)
    assert str(assign(net, EndpointRequest(), here[1:])[0].ip) == "172.31.9.2"


@pytest.mark.parametrize("wanted", ["10.1.0.1", "10.1.0.0", "10.1.0.255", "10.1.0.9"])
def test_an_address_that_is_taken(wanted: str) -> None:
    """Gateway, network, broadcast and a neighbour's address are refused alike."""
    net = network("10.1.0.0/24", gateway=ip_address("10.1.0.1"))

    with pytest.raises(AddressInUse, match="Address already in use") as refused:
        assign(net, EndpointRequest(ipv4=wanted), [endpoint("10.1.0.9/24")])

    assert wanted in refused.value.hint


@given(st.sets(st.integers(0, 63)), st.integers(24, 30))
def test_no_two_endpoints_share_an_address(taken: set[int], prefix: int) -> None:
    """Whatever is taken, what comes out is free, inside the range, and the lowest such."""
    net = network(
        "10.2.0.0/24",
        gateway=ip_address("10.2.0.1"),
        ip_range=ip_network(f"10.2.0.0/{prefix}"),
    )
    here = [endpoint(f"10.2.0.{n}/24") for n in taken]
    size = 2 ** (32 - prefix)
    free = [n for n in range(size) if n not in taken | {0, 1, 255}]
    if not free:
        with pytest.raises(PoolFull):
            assign(net, EndpointRequest(), here)
        return

    (address,) = assign(net, EndpointRequest(), here)

    assert str(address) == f"10.2.0.{free[0]}/24"


def test_all_faults_of_an_endpoint_at_once() -> None:
    """As Docker lists them for a bad address."""
    net = network("10.2.0.0/24")

    with pytest.raises(Invalid) as refused:
        check_endpoint(net, EndpointRequest(ipv4="zz"))

    assert refused.value.message == (
        "invalid endpoint settings:\n* invalid IPv4 address: zz\n"
        "* no configured subnet or ip-range contain the IP address zz"
    )
