"""Pools: Docker's defaults and order, and its words for what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.ipam.addresses import AddressInUse, PoolFull, assign, check_endpoint
from fairlead.ipam.pool import DEFAULT_BASES, Base, choose, parse, placed, settle
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import FairleadError, Invalid
from fairlead.model.network import Network, Pool, PoolRequest
from fairlead.model.state import IPNetwork

GATEWAYS = {4: True, 6: True}


def test_the_default_pools_in_docker_s_order() -> None:
    """15 of /16 from 172.17, then 16 of /20 from 192.168: 31 in all."""
    taken: list[IPv4Network] = []
    for _ in range(31):
        pool = choose(DEFAULT_BASES, taken, ())
        taken.append(pool.subnet)  # type: ignore[arg-type]

    assert [str(n) for n in taken[:2]] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert [str(n) for n in taken[14:17]] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]


def test_the_lowest_pool_that_is_free_again() -> None:
    """A pool in the middle that is given back is the next one given out."""
    taken = [ip_network(f"172.{i}.0.0/16") for i in range(17, 26) if i != 20]

    assert str(choose(DEFAULT_BASES, taken, ()).subnet) == "172.20.0.0/16"


def test_routes_of_the_host_are_avoided() -> None:
    """A pool that overlaps a route of the host, however small, is passed over."""
    pool = choose(DEFAULT_BASES, (), (ip_network("172.17.200.0/24"), ip_network("172.16.0.0/15")))

    assert str(pool.subnet) == "172.18.0.0/16"
    assert pool.gateway == ip_address("172.18.0.1")


def all_of(
    bases: Sequence[Base], occupied: Sequence[IPNetwork], most: int = 400
) -> list[IPNetwork]:
    """Every pool that is given out until there is no more room."""
    taken: list[IPNetwork] = []
    while len(taken) < most:
        try:
            taken.append(choose(bases, taken, occupied).subnet)
        except Invalid:
            break
    return taken


def test_smaller_pools_after_the_big_ones() -> None:
    """The 32nd network and 255 more have a /24 each, from the range before Docker's."""
    taken = all_of(DEFAULT_BASES, ())

    assert [str(n) for n in taken[31:33]] == ["172.16.0.0/24", "172.16.1.0/24"]
    assert len(taken) == 31 + 256
    assert apart(taken)


def test_what_a_network_leaves_of_a_pool_is_used() -> None:
    """A user's small subnet spoils one pool; its rest is given out before the end."""
    mine: list[IPNetwork] = [ip_network("172.20.0.0/23")]
    taken = list(mine)
    for _ in range(31):
        taken.append(choose(DEFAULT_BASES, taken, ()).subnet)

    assert str(taken[-1]) == "172.20.2.0/24"
    assert apart(taken)


def test_near_a_route_of_the_host_comes_last() -> None:
    """The rest of a pool that the host has a route in is probably somebody's."""
    taken = all_of(DEFAULT_BASES, [ip_network("172.19.4.0/24")], most=30 + 257)[30:]

    assert str(taken[0]) == "172.16.0.0/24"
    assert str(taken[256]) == "172.19.0.0/24"


def test_pools_of_ones_own_stay_in_their_ranges() -> None:
    """What the administrator set is all there is; smaller pools come of its rests alone."""
    bases = (Base(ip_network("10.5.0.0/22"), 23),)

    assert [str(n) for n in all_of(bases, ())] == ["10.5.0.0/23", "10.5.2.0/23"]
    assert [str(n) for n in all_of(bases, [ip_network("10.5.1.0/25")])] == [
        "10.5.2.0/23",
        "10.5.0.0/24",
        "10.5.1.128/25",
    ]


def test_the_end_says_who_has_the_pools() -> None:
    """Names of networks, routes of the host, and what to do."""
    base, web = Base(ip_network("10.5.0.0/24"), 25), ip_network("10.5.0.0/25")
    with pytest.raises(Invalid, match="all predefined address pools have") as refused:
        choose((base,), [web], [ip_network("10.5.0.128/25")], holders=lambda: {web: "web (unused)"})

    for word in ("web (unused) 10.5.0.0/25", "the host 10.5.0.128/25", "network prune", "--subnet"):
        assert word in refused.value.hint


@pytest.mark.parametrize(
    ("asked", "given_"),
    [
        (["0.0.0.0/24"], ["172.16.8.0/24"]),
        (["0.0.0.0/29", "0.0.0.0/29"], ["172.16.8.0/29", "172.16.8.8/29"]),
        (["::/96"], ["fd00::1:0:0/96"]),
        (["10.0.0.0/24", "0.0.0.0/0", "::/0"], ["10.0.0.0/24", "0.0.0.0/0", "::/0"]),
    ],
)
def test_any_subnet_of_a_size(asked: list[str], given_: list[str]) -> None:
    """`0.0.0.0/24` is the lowest free /24, `::/96` the same for IPv6; others are left alone."""
    bases = (Base(ip_network("172.16.0.0/20"), 21), Base(ip_network("fd00::/64"), 80))
    blocked = [ip_network("172.16.0.0/21"), ip_network("fd00::/96")]

    found = placed([PoolRequest(text) for text in asked], bases, blocked)

    assert [request.subnet for request in found] == given_


def test_no_subnet_of_that_size() -> None:
    """Refused as an empty pool is, and the hint says where it looked."""
    with pytest.raises(Invalid, match="have been fully subnetted") as refused:
        placed([PoolRequest("0.0.0.0/8")], DEFAULT_BASES, ())
    assert "no /8 is free" in refused.value.hint


@st.composite
def subnets(draw: st.DrawFn) -> IPNetwork:
    """A subnet of a small world of either family, so that they often meet."""
    if draw(st.booleans()):
        length = draw(st.integers(22, 32))
        return ip_network((int(ip_address("10.9.0.0")) + draw(st.integers(0, 1023)), length), False)
    number = (int(ip_address("fd00::")) + draw(st.integers(0, 1023))).to_bytes(16, "big")
    return ip_network((number, draw(st.integers(118, 128))), False)


@given(st.lists(subnets(), max_size=8), st.lists(subnets(), max_size=5), st.data())
def test_no_pool_ever_overlaps(
    taken: list[IPNetwork], occupied: list[IPNetwork], data: st.DataObject
) -> None:
    """Whatever is there: what is given is inside a base and touches nothing; none, only if full."""
    range_ = data.draw(st.sampled_from([ip_network("10.9.0.0/22"), ip_network("fd00::/118")]))
    size = data.draw(st.integers(range_.prefixlen, range_.prefixlen + 6))
    blocked = [n for n in (*taken, *occupied) if n.version == range_.version]
    whole = [n for n in range_.subnets(new_prefix=size) if not any(n.overlaps(b) for b in blocked)]
    try:
        found = choose((Base(range_, size),), taken, occupied).subnet
    except Invalid:
        least: list[IPNetwork] = list(range_.subnets(new_prefix=range_.max_prefixlen - 3))
        assert (
            all(any(n.overlaps(b) for b in blocked) for n in least)
            or size > range_.max_prefixlen - 3
        )
        assert not whole
        return

    assert found.subnet_of(range_)  # type: ignore[arg-type]
    assert not any(found.overlaps(b) for b in blocked)
    assert found == whole[0] if whole else found.prefixlen > size


def apart(found: Sequence[IPNetwork]) -> bool:
    """Whether no two subnets overlap."""
    ordered = sorted(found, key=lambda n: int(n.network_address))
    return all(not a.overlaps(b) for a, b in pairwise(ordered))


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
        (address,) = assign(net, EndpointRequest(), taken_by(here))
        here.append(endpoint(str(address)))
        given_.append(str(address.ip))

    assert given_ == ["172.31.9.2", "172.31.9.3", "172.31.9.4", "172.31.9.6"]
    with pytest.raises(
        PoolFull, match="no available IPv4 addresses on this network's address pools"
    ):
        assign(net, EndpointRequest(), taken_by(here))
    assert str(assign(net, EndpointRequest(), taken_by(here[1:]))[0].ip) == "172.31.9.2"


def taken_by(endpoints: list[Endpoint]) -> dict[int, dict[int, str]]:
    """The addresses of endpoints, as a world has them."""
    return {4: {int(a.ip): e.id for e in endpoints for a in e.addresses}}


@pytest.mark.parametrize("wanted", ["10.1.0.1", "10.1.0.0", "10.1.0.255", "10.1.0.9"])
def test_an_address_that_is_taken(wanted: str) -> None:
    """Gateway, network, broadcast and a neighbour's address are refused alike."""
    net = network("10.1.0.0/24", gateway=ip_address("10.1.0.1"))

    with pytest.raises(AddressInUse, match="Address already in use") as refused:
        assign(net, EndpointRequest(ipv4=wanted), taken_by([endpoint("10.1.0.9/24")]))

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
            assign(net, EndpointRequest(), taken_by(here))
        return

    (address,) = assign(net, EndpointRequest(), taken_by(here))

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
