"""Networks and endpoints in the store: written as Docker does, removed whole, repaired if sure."""

from __future__ import annotations

import json

import pytest

from fairlead.cluster.endpoint import decode_endpoint
from fairlead.cluster.leaks import LostAddress, LostEndpoint, WrongCount, aged, leaks
from fairlead.cluster.network import decode_network, marked
from fairlead.cluster.overlay import FIRST_VNI
from fairlead.cluster.pools import PoolId
from fairlead.cluster.sequence import decode
from fairlead.cluster.view import View
from fairlead.controller.shared.allocate import request_address, request_pools
from fairlead.controller.shared.register import (
    put_endpoint,
    put_network,
    remove_endpoint,
    remove_network,
)
from fairlead.controller.shared.repair import Mine, repair
from fairlead.controller.shared.vnis import obtain_vni, request_vni
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.errors import Forbidden, NotFound
from fairlead.model.network import PoolRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from tests.cluster.observed import CA, CB, OV1, OV3, OVI, SEVERAL_NETWORKS, TWO_CONTAINERS, dump
from tests.controller.shared.deeds import HOST_A, HOST_B, KEYS, id_of, join, make
from tests.controller.shared.hosts import Content, Host, run


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


@pytest.mark.parametrize("bit", [True, False], ids=["taken", "free"])
@pytest.mark.parametrize("other", [256, 300])
def test_a_vni_that_a_network_had(bit: bool, other: int) -> None:
    """It is the network's again, whatever became of its bit, unless another's record has it."""
    content = Content()
    place = Host(content).place
    first, second = (run(make(place, id_of(number))) for number in (1, 2))
    assert run(obtain_vni(place, first.id, first.pools[0].subnet, had=other)) == other
    if bit and other != 256:
        assert run(request_vni(place)) == 256
    got = run(obtain_vni(place, second.id, second.pools[0].subnet, after=255, had=256))
    assert got == (257 if other == 256 else 256)
    assert {got, other} <= {FIRST_VNI + n for n in decode(content.pairs()[KEYS.vnis]).set_bits()}


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


def test_all_hosts_have_a_networks_pools_in_one_order() -> None:
    """Also where the one of IPv6 was asked for, and the one of IPv4 chosen."""
    content = Content()
    place = Host(content).place
    asked = (PoolRequest("2001:db8:3::/64"),)
    network = run(make(place, id_of(1), asked=asked))
    read = decode_network(network.id, content.pairs()[KEYS.network(network.id)]).network
    assert [pool.subnet.version for pool in network.pools] == [4, 6]
    assert read.pools == network.pools


def test_a_network_that_is_in_use_stays() -> None:
    """Docker's words, and it is as it was; then it goes, with all that it had."""
    content = Content()
    place = Host(content).place
    network = run(make(place, id_of(1), "net"))
    endpoint = run(join(place, network, id_of(7), HOST_A))
    before = content.pairs()
    with pytest.raises(Forbidden) as error:
        run(remove_network(place, network.id))
    said = "error while removing network: network net has active endpoints"
    assert error.value.message == f'{said} (name:"c" id:"{endpoint.id[:12]}")'
    assert error.value.hint.endswith("c on 192.0.2.11")
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
    network = run(make(place, id_of(1)))
    endpoint = run(join(place, network, id_of(7), HOST_A))
    run(remove_endpoint(place, network, endpoint, keep_addresses=True))
    assert json.loads(content.pairs()[KEYS.count(network.id)]) == {"Count": 0}
    with pytest.raises(Forbidden):
        run(request_address(place, PoolId(network.pools[0].subnet), endpoint.addresses[0].ip))


def test_an_endpoint_written_again_is_counted_once_and_told() -> None:
    """Its value is the new one; the count is written again, for Docker hosts watch that."""
    content = Content()
    place = Host(content).place
    network = run(make(place, id_of(1)))
    endpoint = run(join(place, network, id_of(7), HOST_A))
    version = content.entries[KEYS.count(network.id)].version
    run(put_endpoint(place, network, endpoint, Sandbox("5" * 64, "6" * 64, "new", "h"), HOST_A))
    assert json.loads(content.pairs()[KEYS.endpoint(network.id, endpoint.id)])["name"] == "new"
    assert json.loads(content.pairs()[KEYS.count(network.id)]) == {"Count": 1}
    assert content.entries[KEYS.count(network.id)].version != version


def test_a_network_goes_with_the_hosts_that_only_have_access() -> None:
    """Those that are not alive, or do not leave, are taken off it, with their addresses."""
    content = Content()
    place = Host(content).place
    network = run(make(place, id_of(1)))
    for number, host in ((7, HOST_A), (8, HOST_B)):
        ep = run(join(place, network, id_of(number), host))
        box = Sandbox("5" * 64, "", "host_a", "", access=True)
        run(put_endpoint(place, network, ep, box, host))
    user = run(join(place, network, id_of(9), HOST_A))
    before = content.pairs()
    with pytest.raises(Forbidden) as error:
        run(remove_network(place, network.id))
    assert error.value.hint.endswith(": c on 192.0.2.11")
    assert content.pairs() == before
    run(remove_endpoint(place, network, user))
    # One says that it is alive; it is waited for, but not for ever.
    content.write(f"{KEYS.nodes}/{HOST_A}:2376", f"{HOST_A}:2376".encode())
    run(remove_network(place, network.id))
    assert not [key for key in content.pairs() if network.id in key or "/data/" in key]


def test_a_docker_host_marked_it_as_going() -> None:
    """Nobody joins it any more; the removal can be finished by whoever comes."""
    content = Content()
    place = Host(content).place
    network = run(make(place, id_of(1)))
    key = KEYS.network(network.id)
    content.write(key, marked(content.pairs()[key], removing=True))
    with pytest.raises(NotFound):
        run(join(place, network, id_of(7), HOST_A))
    run(remove_network(place, network.id))
    assert not [each for each in content.pairs() if network.id in each]


def test_only_what_is_sure_is_repaired() -> None:
    """Our own endpoint that we do not have at once; what may be somebody's only when old."""
    content = Content()
    place = Host(content).place
    network = run(make(place, id_of(1)))
    run(join(place, network, id_of(7), HOST_A))
    run(join(place, network, id_of(8), HOST_B))
    pool = PoolId(network.pools[0].subnet)
    between = run(request_address(place, pool))
    content.write(KEYS.count(network.id), b'{"Count":5}')
    expected = {
        LostEndpoint(network.id, id_of(7)),
        LostAddress(pool.subnet, between),
        WrongCount(network.id, 5, 2),
    }
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == expected
    assert leaks(content.pairs(), KEYS, HOST_A, {id_of(7)}) == expected - {
        LostEndpoint(network.id, id_of(7))
    }
    result = run(repair(place, Mine(HOST_A)))
    assert result.done == {LostEndpoint(network.id, id_of(7))}
    assert result.left == expected - result.done
    assert set(View.of(content.pairs().items()).endpoints(network.id)) == {id_of(8)}
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
    network = run(make(place, id_of(1)))
    run(join(place, network, id_of(8), HOST_B))
    other = run(make(place, id_of(2)))
    for key in (
        KEYS.endpoint(network.id, id_of(8)),
        KEYS.network(other.id),
        KEYS.overlay(other.id),
    ):
        content.write(key, b"junk")
    assert leaks(content.pairs(), KEYS, HOST_A, set()) == frozenset()
