"""Pools, addresses and VNIs of the cluster: given out as Docker does, in Docker's words."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from fairlead.cluster.leaks import LostAddress
from fairlead.cluster.pools import PoolId, decode_pools
from fairlead.controller.shared.allocate import (
    NoAddress,
    release_address,
    release_pool,
    request_address,
    request_pool,
    request_pools,
)
from fairlead.controller.shared.place import Unsure, unsure_of
from fairlead.controller.shared.vnis import release_vni, request_vni
from fairlead.model.errors import Failed, Forbidden, Invalid, NotFound
from fairlead.model.network import PoolRequest
from fairlead.model.state import IPAddress
from fairlead.store.shared import Away
from tests.controller.shared.deeds import KEYS
from tests.controller.shared.hosts import Content, Host, run


def test_pools_are_refused_in_dockers_words() -> None:
    """Overlaps, and no more room among the defaults."""
    place = Host(Content()).place
    run(request_pool(place, ip_network("10.0.0.0/9")))
    with pytest.raises(Forbidden, match=r"^Pool overlaps with other one on this address space"):
        run(request_pool(place, ip_network("10.1.0.0/16")))
    assert str(run(request_pool(place))) == "GlobalDefault/10.128.0.0/24"
    blocked = ip_network("10.128.0.0/16")
    assert str(run(request_pool(place, blocked=[blocked]))) == "GlobalDefault/10.129.0.0/24"
    run(request_pool(place, ip_network("10.192.0.0/10")))
    with pytest.raises(NotFound, match="could not find an available, non-overlapping IPv4 address"):
        run(request_pool(place, blocked=[ip_network("10.128.0.0/10")]))
    with pytest.raises(NotFound, match="non-overlapping IPv6 address pool among the defaults"):
        run(request_pool(place, version=6))


def test_addresses_go_round() -> None:
    """The next after the last, not the one that was just freed, until there is no other."""
    place = Host(Content()).place
    pool = run(request_pool(place, ip_network("10.0.0.0/29")))
    given: list[IPAddress] = []
    for _ in range(4):
        given.append(run(request_address(place, pool, after=given[-1] if given else None)))
    assert [str(each) for each in given] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
    run(release_address(place, pool, given[0]))
    run(release_address(place, pool, given[0]))
    five = run(request_address(place, pool, after=given[-1]))
    assert str(five) == "10.0.0.5"
    six = run(request_address(place, pool, after=five, quarantine=[given[0]]))
    assert str(six) == "10.0.0.6"
    # Only the one in quarantine is left.
    assert run(request_address(place, pool, after=six, quarantine=[given[0]])) == given[0]
    with pytest.raises(NoAddress, match=r"^No available addresses on this pool$"):
        run(request_address(place, pool, after=six))
    with pytest.raises(Forbidden, match=r"^Address already in use$"):
        run(request_address(place, pool, five))
    with pytest.raises(Invalid, match=r"^Requested address is out of range$"):
        run(request_address(place, pool, ip_address("10.0.0.9")))


def test_containers_get_a_part_only() -> None:
    """The part's addresses; any other of the subnet only when asked for."""
    place = Host(Content()).place
    asked = (PoolRequest("10.9.0.0/16", "10.9.1.0/30", auxiliary={"r": "10.9.1.1"}),)
    (pool,) = run(request_pools(place, asked))
    assert str(pool.gateway) == "10.9.1.0"
    id_ = PoolId(pool.subnet, pool.ip_range)
    assert [str(run(request_address(place, id_))) for _ in range(2)] == ["10.9.1.2", "10.9.1.3"]
    with pytest.raises(NoAddress):
        run(request_address(place, id_))
    assert str(run(request_address(place, id_, ip_address("10.9.7.7")))) == "10.9.7.7"
    run(release_pool(place, id_))
    with pytest.raises(NotFound):
        run(request_address(place, id_))


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (PoolRequest("10.9.0.0/16", gateway="10.9.255.255"), Failed, "failed to allocate gateway"),
        (PoolRequest("10.9.0.5/16"), Invalid, "it should be 10.9.0.0/16"),
        (PoolRequest("10.9.0.0/16", gateway="10.9.0.2", auxiliary={"a": "10.9.0.2"}), Failed,
         "Address already in use"),
        (PoolRequest("10.0.0.0/8"), Forbidden, "Pool overlaps"),
    ],
)  # fmt: skip
def test_bad_input_leaves_nothing_behind(
    request_: PoolRequest, error: type[Exception], words: str
) -> None:
    """Not even the pool before it."""
    content = Content()
    place = Host(content).place
    run(request_pool(place))
    before = content.pairs()
    with pytest.raises(error, match=words):
        run(request_pools(place, (PoolRequest("10.77.0.0/24"), request_)))
    assert decode_pools(content.pairs()[KEYS.pools]).uses == decode_pools(before[KEYS.pools]).uses
    assert content.pairs().keys() == before.keys()


def test_vnis_go_round() -> None:
    """From 256 on, the next after the last; what is given back is not given out at once."""
    place = Host(Content()).place
    assert [run(request_vni(place)) for _ in range(2)] == [256, 257]
    run(release_vni(place, 256))
    run(release_vni(place, 256))
    assert run(request_vni(place, after=257)) == 258
    assert run(request_vni(place, after=(1 << 24) - 1)) == 256


def test_the_store_goes_away_while_something_is_taken() -> None:
    """The error says what may be taken; nothing of it is given to anybody else."""
    content = Content()
    host = Host(content)
    pool = run(request_pool(host.place))
    host.missing = True
    with pytest.raises(Unsure) as error:
        run(request_address(host.place, pool))
    (leak,) = unsure_of(error.value)
    assert leak == LostAddress(pool.subnet, ip_address("10.0.0.1"))
    assert run(request_address(host.place, pool)) == ip_address("10.0.0.2")
    host.away = True
    with pytest.raises(Away):
        run(request_address(host.place, pool))


def test_a_hostile_value_stops_only_what_needs_it() -> None:
    """Allocation from a spoilt pool fails with a line; another pool is as good as ever."""
    content = Content()
    place = Host(content).place
    one, two = run(request_pool(place)), run(request_pool(place))
    key = KEYS.addresses(str(one.subnet))
    for value in (b"junk", content.pairs()[key].replace(b"AAAAAAAAAQA", b"AAAAAAAABQA"), b"{}"):
        content.write(key, value)
        with pytest.raises(Invalid):
            run(request_address(place, one))
        with pytest.raises(Invalid):
            run(release_address(place, one, ip_address("10.0.0.1")))
    assert run(request_address(place, two)) == ip_address("10.0.1.1")
