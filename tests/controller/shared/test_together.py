"""Several hosts at once, in any order, dying anywhere: nobody ever has what another one has."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Coroutine
from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.cluster.leaks import leaks
from fairlead.cluster.overlay import FIRST_VNI
from fairlead.cluster.pools import decode_pools
from fairlead.cluster.sequence import decode
from fairlead.cluster.view import View
from fairlead.controller.shared.allocate import release_address, request_address, request_pool
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.register import (
    remove_endpoint,
    remove_network,
)
from fairlead.controller.shared.repair import Mine, repair
from fairlead.controller.shared.vnis import obtain_vni, request_vni
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Conflict, NotFound
from fairlead.model.network import Network
from fairlead.model.state import IPAddress, IPNetwork
from fairlead.store.shared import Away
from tests.controller.shared.deeds import HOST_A, HOST_B, KEYS, id_of, join, make
from tests.controller.shared.hosts import Content, Died, Host, by, run, together

LAST = 1 << 16
CHOICES = st.one_of(
    # Short ones, that can be made shorter, and long ones that mix everything.
    st.lists(st.integers(0, LAST), max_size=400),
    st.integers(0, LAST).map(lambda seed: random.Random(seed).choices(range(LAST), k=2000)),
)


@settings(deadline=None, max_examples=60)
@given(CHOICES)
def test_hosts_at_once_never_get_the_same(choices: list[int]) -> None:
    """Pools, addresses and VNIs taken and given back by four hosts, step by step in any order."""
    content = Content()
    pool = run(request_pool(Host(content).place, ip_network("10.200.0.0/28")))

    async def work(place: Place) -> list[object]:
        mine: list[object] = [await request_pool(place), await request_vni(place)]
        first = await request_address(place, pool)
        mine.append(await request_address(place, pool, after=first))
        await release_address(place, pool, first)
        mine.append(await request_address(place, pool, after=first))
        return mine

    works = {f"h{n}": work(Host(content).place) for n in range(4)}
    results = together(works, by(choices))
    taken = [each for result in results.values() for each in _list(result)]
    assert len(taken) == 16
    assert Counter(taken).most_common(1)[0][1] == 1
    bits = decode(content.pairs()[KEYS.addresses("10.200.0.0/28")])
    assert bits.taken == 2 + 8
    assert decode(content.pairs()[KEYS.vnis]).taken == 4


def _list(result: object) -> list[object]:
    assert isinstance(result, list), result
    return result


@settings(deadline=None, max_examples=60)
@given(CHOICES)
def test_one_name_is_one_network(choices: list[int]) -> None:
    """Of hosts that make networks of one name at once, at most one does; the others undo all."""
    content = Content()
    works = {
        f"h{n}": make(Host(content).place, id_of(n), "same", with_vnis=True) for n in (3, 1, 2)
    }
    results = together(works, by(choices))
    made = [r for r in results.values() if isinstance(r, Network)]
    assert len(made) <= 1
    assert all(isinstance(r, Conflict) for r in results.values() if not isinstance(r, Network))
    left = [key for key in content.pairs() if key.startswith(KEYS.networks)]
    assert left == [KEYS.network(each.id) for each in made]
    assert len(decode_pools(content.pairs()[KEYS.pools]).uses) == len(made)
    assert (
        decode(content.pairs()[KEYS.vnis]).taken == len(made)
        if KEYS.vnis in content.pairs()
        else not made
    )


@settings(deadline=None, max_examples=80)
@given(CHOICES)
def test_joining_while_it_is_removed(choices: list[int]) -> None:
    """Either the network stays and has its member, or it is gone and nobody is on it."""
    content = Content()
    network = run(make(Host(content).place, id_of(1)))
    works: dict[str, Coroutine[object, object, object]] = {
        "join": join(Host(content).place, network, id_of(7), HOST_A),
        "remove": remove_network(Host(content).place, network.id),
        "again": remove_network(Host(content).place, network.id),
    }
    results = together(works, by(choices))
    pairs = content.pairs()
    if isinstance(results["join"], Endpoint):
        assert json.loads(pairs[KEYS.count(network.id)]) == {"Count": 1}
        view = View.of(pairs.items())
        assert set(view.endpoints(network.id)) == {id_of(7)}
        assert not view.networks[network.id].removing
        assert dict(view.complaints) == {}
        assert leaks(pairs, KEYS, HOST_A, {id_of(7)}) == frozenset()
    else:
        assert isinstance(results["join"], NotFound)
        assert not [key for key in pairs if network.id in key]
        assert decode_pools(pairs[KEYS.pools]).uses == {}
        assert decode(pairs[KEYS.vnis]).taken == 0 if KEYS.vnis in pairs else True


async def _life(place: Place, number: int, host: IPAddress, log: list[object]) -> None:
    """A host makes a network, joins it, leaves it, removes it."""
    network = await make(place, id_of(number), with_vnis=number != 1)
    log.append(network)
    endpoint = await join(place, network, id_of(100 + number), host)
    log.append(endpoint)
    second = await join(place, network, id_of(200 + number), host)
    log.append(second)
    await remove_endpoint(place, network, endpoint)
    await remove_endpoint(place, network, second)
    await remove_network(place, network.id)


@settings(deadline=None, max_examples=150)
@given(CHOICES)
def test_hosts_that_die_leave_nothing_for_good(choices: list[int]) -> None:
    """Hosts die at any step, or do not hear that something was done; what lives is whole.

    All that is left behind is found and, once old, given back: nothing is lost for ever, and
    never anything is taken from a host that has it.
    """
    content = Content()
    shared = run(make(Host(content).place, id_of(99), "shared"))
    resident = run(join(Host(content).place, shared, id_of(98), HOST_B))
    hosts = [Host(content) for _ in range(3)]
    works: dict[str, Coroutine[object, object, object]] = {}
    for number, host in enumerate(hosts):
        works[f"life {number}"] = _life(host.place, number, HOST_A, [])
        works[f"join {number}"] = join(host.place, shared, id_of(300 + number), HOST_A)

    turn = by(choices)

    def choose(most: int) -> int:
        match turn(1 << 16) % 61:
            case 60 | 59 | 58 as victim:
                hosts[victim - 58].dead = True
            case 57 | 56 | 55 as victim:
                hosts[victim - 55].missing = True
        return turn(most)

    results = together(works, choose)
    for result in results.values():
        assert result is None or isinstance(result, Endpoint | Away | ExceptionGroup | Died)
    view = View.of(content.pairs().items())
    held = [address.ip for peer in view.endpoints(shared.id).values() for address in peer.addresses]
    assert len(held) == len(set(held))
    assert id_of(98) in view.endpoints(shared.id)
    # No two of anything: neither addresses nor VNIs, nor anything else to complain about.
    assert dict(view.complaints) == {}
    used = {segment.vni for each in view.overlays.values() for segment in each.segments} - {0}
    assert {vni - FIRST_VNI for vni in used} <= set(decode(content.pairs()[KEYS.vnis]).set_bits())

    _repair_all(content)
    pairs = content.pairs()
    assert {key for key in pairs if "/endpoint/" in key} == {KEYS.endpoint(shared.id, resident.id)}
    assert {key for key in pairs if key.startswith(KEYS.networks)} >= {KEYS.network(shared.id)}
    bits = decode(pairs[KEYS.addresses("10.0.0.0/24")])
    assert list(bits.set_bits()) == [0, 1, 2, 255]
    assert json.loads(pairs[KEYS.count(shared.id)]) == {"Count": 1}
    for key in [key for key in pairs if key.startswith(KEYS.networks)]:
        # Networks that were made whole stay until somebody removes them.
        id_ = key.rpartition("/")[2]
        if id_ != shared.id:
            run(remove_network(Host(content).place, id_))
    pairs = content.pairs()
    assert [str(each) for each in decode_pools(pairs[KEYS.pools]).subnets] == ["10.0.0.0/24"]
    assert decode(pairs[KEYS.vnis]).taken == 1


def _repair_all(content: Content) -> None:
    """What the hosts that live do in the course of time."""
    for _ in range(4):
        host = Host(content).place
        found = leaks(content.pairs(), KEYS, HOST_A, set())
        result = run(repair(host, Mine(HOST_A, old=found)))
        assert result.faults == ()
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == frozenset()


def test_two_hosts_that_had_a_vni_keep_it() -> None:
    """The record was lost, the VNI was not: none changes, and nothing is taken twice."""
    for order in range(200):
        content = Content()
        network = run(make(Host(content).place, id_of(1)))
        subnet: IPNetwork = network.pools[0].subnet
        assert run(request_vni(Host(content).place)) == 256
        works = {
            name: obtain_vni(Host(content).place, network.id, subnet, had=256)
            for name in ("a", "b")
        }
        turns = iter(f"{order:08b}" * 40)
        results = together(works, lambda most: int(next(turns)) % most)  # noqa: B023
        assert results == {"a": 256, "b": 256}
        assert list(decode(content.pairs()[KEYS.vnis]).set_bits()) == [0]


def test_two_hosts_give_one_network_its_vni() -> None:
    """Whoever is first: both use the same, and no other one stays taken."""
    for order in range(200):
        content = Content()
        network = run(make(Host(content).place, id_of(1)))
        subnet: IPNetwork = network.pools[0].subnet
        works = {name: obtain_vni(Host(content).place, network.id, subnet) for name in ("a", "b")}
        turns = iter(f"{order:08b}" * 40)
        results = together(works, lambda most: int(next(turns)) % most)  # noqa: B023
        assert results["a"] == results["b"]
        assert decode(content.pairs()[KEYS.vnis]).taken == 1
