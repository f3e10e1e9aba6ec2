"""What hosts take of a shared store: as Docker does it, and never what another one has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Coroutine
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.cluster.endpoint import decode_endpoint
from fairlead.cluster.keys import Keys
from fairlead.cluster.leaks import LostAddress, LostEndpoint, WrongCount, aged, leaks
from fairlead.cluster.network import decode_network, marked
from fairlead.cluster.pools import PoolId, decode_pools
from fairlead.cluster.sequence import decode
from fairlead.cluster.view import View
from fairlead.controller.shared.allocate import (
    NoAddress,
    obtain_vni,
    release_address,
    release_pool,
    release_vni,
    request_address,
    request_pool,
    request_pools,
    request_vni,
)
from fairlead.controller.shared.place import Place, Unsure, unsure_of
from fairlead.controller.shared.register import (
    put_endpoint,
    put_network,
    remove_endpoint,
    remove_network,
)
from fairlead.controller.shared.repair import Mine, repair
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.errors import Conflict, Failed, Forbidden, Invalid, NotFound
from fairlead.model.network import Network, PoolRequest, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPNetwork
from fairlead.store.shared import Away
from tests.cluster.observed import CA, CB, OV1, OV3, OVI, SEVERAL_NETWORKS, TWO_CONTAINERS, dump
from tests.controller.shared.hosts import Content, Died, Host, by, run, together

KEYS = Keys()
CHOICES = st.lists(st.integers(0, 1 << 16), max_size=400)
HOST_A, HOST_B = ip_address("192.0.2.11"), ip_address("192.0.2.12")


def _id(number: int) -> str:
    return f"{number:064x}"


async def _network(
    place: Place, id_: str, name: str = "", asked: tuple[PoolRequest, ...] = ()
) -> Network:
    """Make a network, as a user's command does."""
    pools = await request_pools(place, asked)
    network = Network(id_, name or id_[-6:], "overlay", 0, pools, scope=Scope.GLOBAL)
    try:
        await put_network(place, network, asked=asked)
    except BaseException:
        for pool in pools:
            await release_pool(place, PoolId(pool.subnet, pool.ip_range))
        raise
    return network


async def _join(place: Place, network: Network, id_: str, host: IPAddress) -> Endpoint:
    """Join a network, as the start of a container does."""
    pool = PoolId(network.pools[0].subnet)
    address = await request_address(place, pool)
    endpoint = Endpoint(
        id_, network.id, "5" * 64, "veth1", "eth0", f"02:42:{int(address):08x}"[:6] + "aa:aa:aa:aa",
        (ip_interface(f"{address}/{pool.subnet.prefixlen}"),),
    )  # fmt: skip
    try:
        await obtain_vni(place, network.id, pool.subnet)
        await put_endpoint(place, network, endpoint, Sandbox("5" * 64, "6" * 64, "c", "h"), host)
    except Exception:
        await release_address(place, pool, address)
        raise
    return endpoint


def test_what_docker_did_gives_what_docker_wrote() -> None:
    """One network and two containers, then two more networks: every value to the byte."""
    content = Content()
    place = Host(content).place
    expected = {k: v for k, v in dump(TWO_CONTAINERS).items() if not k.startswith("docker/nodes")}
    network = decode_network(OV1, expected[KEYS.network(OV1)]).network
    pools = run(request_pools(place, ()))
    assert pools == network.pools
    run(put_network(place, network, asked=()))
    endpoints = _observed_endpoints(expected)
    for host, endpoint, sandbox in endpoints:
        pool = PoolId(network.pools[0].subnet)
        assert run(request_address(place, pool)) == endpoint.addresses[0].ip
        assert run(obtain_vni(place, OV1, pool.subnet)) == 256
        run(put_endpoint(place, network, endpoint, sandbox, host))
    assert content.pairs() == expected

    more = {k: v for k, v in dump(SEVERAL_NETWORKS).items() if not k.startswith("docker/nodes")}
    asked = (PoolRequest("10.5.0.0/24"), PoolRequest("10.6.0.0/24"))
    for id_, request in ((OV3, asked), (OVI, ())):
        other = decode_network(id_, more[KEYS.network(id_)]).network
        assert run(request_pools(place, request)) == other.pools
        run(put_network(place, other, asked=request))
    assert content.pairs() == more

    # And all back, to where nothing was but what is never removed.
    for _, endpoint, _ in endpoints:
        run(remove_endpoint(place, network, endpoint))
    for id_ in (OV1, OV3, OVI):
        run(remove_network(place, id_))
    assert set(content.pairs()) == {KEYS.pools, KEYS.vnis}
    assert json.loads(content.pairs()[KEYS.pools])["Subnets"] == {}
    assert decode(content.pairs()[KEYS.vnis]).taken == 0


def _observed_endpoints(
    records: dict[str, bytes],
) -> list[tuple[IPAddress, Endpoint, Sandbox]]:
    """The two containers of the observed cluster, as we would know them."""
    found: list[tuple[IPAddress, Endpoint, Sandbox]] = []
    for id_, container in ((CA, "cda7d4873c50"), (CB, "33740cb68fa6")):
        record = json.loads(records[KEYS.endpoint(OV1, id_)])
        peer = decode_endpoint(OV1, id_, records[KEYS.endpoint(OV1, id_)])
        endpoint = Endpoint(
            id_, OV1, record["sandbox"], record["ep_iface"]["srcName"], "eth0", peer.mac,
            peer.addresses,
        )  # fmt: skip
        published = id_ == CA
        sandbox = Sandbox(
            record["sandbox"], container + "0" * 52, peer.name, container,
            exposed=(("tcp", 80),) if published else (),
            publish=(PortRequest("tcp", 80, host_port=8080),) if published else (),
        )  # fmt: skip
        found.append((peer.host, endpoint, sandbox))
    return found


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


def test_a_network_that_is_in_use_stays() -> None:
    """Docker's words, and it is as it was; then it goes, with all that it had."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1), "net"))
    endpoint = run(_join(place, network, _id(7), HOST_A))
    before = content.pairs()
    with pytest.raises(Forbidden, match=r"^network net has active endpoints$") as error:
        run(remove_network(place, network.id))
    assert error.value.hint == "c on 192.0.2.11"
    assert content.pairs() == before
    run(remove_endpoint(place, network, endpoint))
    run(remove_endpoint(place, network, endpoint))
    run(remove_network(place, network.id))
    assert not [key for key in content.pairs() if network.id in key or "/data/" in key]
    with pytest.raises(NotFound):
        run(remove_network(place, network.id))
    with pytest.raises(NotFound):
        run(put_endpoint(place, network, endpoint, Sandbox("5" * 64, "6" * 64, "c", "h"), HOST_A))
    assert not [key for key in content.pairs() if endpoint.id in key]


def test_an_address_is_kept_for_later_if_wished() -> None:
    """The endpoint is gone and counted no more, its address is still nobody's."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1)))
    endpoint = run(_join(place, network, _id(7), HOST_A))
    run(remove_endpoint(place, network, endpoint, keep_addresses=True))
    assert json.loads(content.pairs()[KEYS.count(network.id)]) == {"Count": 0}
    with pytest.raises(Forbidden):
        run(request_address(place, PoolId(network.pools[0].subnet), endpoint.addresses[0].ip))


def test_an_endpoint_written_again_is_counted_once_and_told() -> None:
    """Its value is the new one; the count is written again, for Docker hosts watch that."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1)))
    endpoint = run(_join(place, network, _id(7), HOST_A))
    version = content.entries[KEYS.count(network.id)].version
    run(put_endpoint(place, network, endpoint, Sandbox("5" * 64, "6" * 64, "new", "h"), HOST_A))
    assert json.loads(content.pairs()[KEYS.endpoint(network.id, endpoint.id)])["name"] == "new"
    assert json.loads(content.pairs()[KEYS.count(network.id)]) == {"Count": 1}
    assert content.entries[KEYS.count(network.id)].version != version


def test_a_docker_host_marked_it_as_going() -> None:
    """Nobody joins it any more; the removal can be finished by whoever comes."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1)))
    key = KEYS.network(network.id)
    content.write(key, marked(content.pairs()[key], removing=True))
    with pytest.raises(NotFound):
        run(_join(place, network, _id(7), HOST_A))
    run(remove_network(place, network.id))
    assert not [each for each in content.pairs() if network.id in each]


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
    works = {f"h{n}": _network(Host(content).place, _id(n), "same") for n in (3, 1, 2)}
    results = together(works, by(choices))
    made = [r for r in results.values() if isinstance(r, Network)]
    assert len(made) <= 1
    assert all(isinstance(r, Conflict) for r in results.values() if not isinstance(r, Network))
    left = [key for key in content.pairs() if key.startswith(KEYS.networks)]
    assert left == [KEYS.network(each.id) for each in made]
    assert len(decode_pools(content.pairs()[KEYS.pools]).uses) == len(made)


@settings(deadline=None, max_examples=80)
@given(CHOICES)
def test_joining_while_it_is_removed(choices: list[int]) -> None:
    """Either the network stays and has its member, or it is gone and nobody is on it."""
    content = Content()
    network = run(_network(Host(content).place, _id(1)))
    works: dict[str, Coroutine[object, object, object]] = {
        "join": _join(Host(content).place, network, _id(7), HOST_A),
        "remove": remove_network(Host(content).place, network.id),
        "again": remove_network(Host(content).place, network.id),
    }
    results = together(works, by(choices))
    pairs = content.pairs()
    if isinstance(results["join"], Endpoint):
        assert json.loads(pairs[KEYS.count(network.id)]) == {"Count": 1}
        view = View.of(pairs.items())
        assert set(view.endpoints(network.id)) == {_id(7)}
        assert not view.networks[network.id].removing
        assert dict(view.complaints) == {}
        assert leaks(pairs, KEYS, HOST_A, {_id(7)}) == frozenset()
    else:
        assert isinstance(results["join"], NotFound)
        assert not [key for key in pairs if network.id in key]
        assert decode_pools(pairs[KEYS.pools]).uses == {}
        assert decode(pairs[KEYS.vnis]).taken == 0 if KEYS.vnis in pairs else True


async def _life(place: Place, number: int, host: IPAddress, log: list[object]) -> None:
    """A host makes a network, joins it, leaves it, removes it."""
    network = await _network(place, _id(number))
    log.append(network)
    endpoint = await _join(place, network, _id(100 + number), host)
    log.append(endpoint)
    second = await _join(place, network, _id(200 + number), host)
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
    shared = run(_network(Host(content).place, _id(99), "shared"))
    resident = run(_join(Host(content).place, shared, _id(98), HOST_B))
    hosts = [Host(content) for _ in range(3)]
    works: dict[str, Coroutine[object, object, object]] = {}
    for number, host in enumerate(hosts):
        works[f"life {number}"] = _life(host.place, number, HOST_A, [])
        works[f"join {number}"] = _join(host.place, shared, _id(300 + number), HOST_A)

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
    assert _id(98) in view.endpoints(shared.id)

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


def test_only_what_is_sure_is_repaired() -> None:
    """Our own endpoint that we do not have at once; what may be somebody's only when old."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1)))
    run(_join(place, network, _id(7), HOST_A))
    run(_join(place, network, _id(8), HOST_B))
    pool = PoolId(network.pools[0].subnet)
    between = run(request_address(place, pool))
    content.write(KEYS.count(network.id), b'{"Count":5}')
    expected = {
        LostEndpoint(network.id, _id(7)),
        LostAddress(pool.subnet, between),
        WrongCount(network.id, 5, 2),
    }
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == expected
    assert leaks(content.pairs(), KEYS, HOST_A, {_id(7)}) == expected - {
        LostEndpoint(network.id, _id(7))
    }
    result = run(repair(place, Mine(HOST_A)))
    assert result.done == {LostEndpoint(network.id, _id(7))}
    assert result.left == expected - result.done
    assert set(View.of(content.pairs().items()).endpoints(network.id)) == {_id(8)}
    with pytest.raises(Forbidden):
        run(request_address(place, pool, between))

    found = leaks(content.pairs(), KEYS, HOST_A, set())
    since, old = aged({}, found, 100.0, 60.0)
    assert old == frozenset()
    since, old = aged(since, found, 160.0, 60.0)
    assert old == found
    assert aged(aged(since, [], 170.0, 60.0)[0], found, 180.0, 60.0)[1] == frozenset()
    run(repair(place, Mine(HOST_A, old=old)))
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == frozenset()
    assert run(request_address(place, pool, between)) == between


def test_what_cannot_be_read_is_no_reason_to_take_anything() -> None:
    """A spoilt record may hold whatever is set: nothing is given back because of it."""
    content = Content()
    place = Host(content).place
    network = run(_network(place, _id(1)))
    run(_join(place, network, _id(8), HOST_B))
    other = run(_network(place, _id(2)))
    for key in (KEYS.endpoint(network.id, _id(8)), KEYS.network(other.id), KEYS.overlay(other.id)):
        content.write(key, b"junk")
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == frozenset()


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


def test_two_hosts_give_one_network_its_vni() -> None:
    """Whoever is first: both use the same, and no other one stays taken."""
    for order in range(200):
        content = Content()
        network = run(_network(Host(content).place, _id(1)))
        subnet: IPNetwork = network.pools[0].subnet
        works = {name: obtain_vni(Host(content).place, network.id, subnet) for name in ("a", "b")}
        turns = iter(f"{order:08b}" * 40)
        results = together(works, lambda most: int(next(turns)) % most)  # noqa: B023
        assert results["a"] == results["b"]
        assert decode(content.pairs()[KEYS.vnis]).taken == 1
