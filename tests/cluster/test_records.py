"""Records: what Docker wrote is understood, what we write is what Docker would have."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cluster.endpoint import as_peer, decode_endpoint, encode_endpoint, misplaced
from fairlead.cluster.keys import Keys, NetworkKey, NodeKey
from fairlead.cluster.moment import moment, nanoseconds
from fairlead.cluster.network import decode_network, encode_network, marked
from fairlead.cluster.node import Node, decode_node, encode_node
from fairlead.cluster.overlay import decode_overlay, encode_overlay, overlay_of
from fairlead.cluster.pools import PoolId, Pools, decode_pools, encode_pools, pool_id
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.errors import Forbidden, Invalid
from fairlead.model.network import Network, Pool, PoolRequest, Scope
from fairlead.model.sandbox import Sandbox
from tests.cluster.observed import CA, CB, OV1, OV3, OVI, SEVERAL_NETWORKS, TWO_CONTAINERS, dump

KEYS = Keys()


@pytest.mark.parametrize("id_", [OV1, OV3, OVI])
def test_a_network_is_written_as_docker_wrote_it(id_: str) -> None:
    """Read into our model and written from nothing but that, it is the same to the byte."""
    value = dump(SEVERAL_NETWORKS)[KEYS.network(id_)]
    network = decode_network(id_, value).network
    asked = (PoolRequest("10.5.0.0/24"), PoolRequest("10.6.0.0/24"))
    assert encode_network(network, asked=asked) == value
    assert encode_overlay(overlay_of(network)) == dump(SEVERAL_NETWORKS)[KEYS.overlay(id_)].replace(
        b'"Vni":256', b'"Vni":0'
    )


def test_what_a_network_says() -> None:
    """The encrypted one with two subnets, as a user sees it."""
    record = decode_network(OV3, dump(SEVERAL_NETWORKS)[KEYS.network(OV3)])
    network = record.network
    assert (network.name, network.driver, network.scope) == ("ov3", "overlay", Scope.GLOBAL)
    assert network.options == {"encrypted": ""}
    assert [str(pool.subnet) for pool in network.pools] == ["10.5.0.0/24", "10.6.0.0/24"]
    assert [str(pool.gateway) for pool in network.pools] == ["10.5.0.1", "10.6.0.1"]
    assert [str(pool) for pool in record.pools] == [
        "GlobalDefault/10.5.0.0/24",
        "GlobalDefault/10.6.0.0/24",
    ]
    assert moment(network.created) == "2026-11-20T15:50:03.317674308Z"


def test_a_network_with_everything_comes_back() -> None:
    """Parts of pools, addresses kept back, IPv6, labels and odd characters in them."""
    network = Network(
        id="a" * 64,
        name="ünï & <co>",
        driver="overlay",
        created=1_700_000_000_000_000_001,
        pools=(
            Pool(
                ip_network("10.9.0.0/16"),
                ip_address("10.9.0.1"),
                ip_network("10.9.1.0/24"),
                {"router": ip_address("10.9.0.9")},
            ),
            Pool(ip_network("fd00:1::/64"), ip_address("fd00:1::1")),
        ),
        options={"encrypted": "", "b": "2"},
        labels={"x": "<&>\u2028"},
        ipam_options={"o": "v"},
        scope=Scope.GLOBAL,
        internal=True,
        attachable=True,
        enable_ipv6=True,
    )
    record = decode_network(network.id, encode_network(network))
    assert record.network == network
    assert [str(each) for each in record.pools] == [
        "GlobalDefault/10.9.0.0/16/10.9.1.0/24",
        "GlobalDefault/fd00:1::/64",
    ]


def test_what_we_do_not_know_of_a_record_stays() -> None:
    """A field of some other version is still there after we mark or rewrite the record."""
    value = dump(TWO_CONTAINERS)[KEYS.network(OV1)][:-1] + b',"zfuture":{"a":[1]}}'
    record = decode_network(OV1, value)
    again = json.loads(encode_network(record.network, rest=record.rest))
    assert again == json.loads(value)
    gone = json.loads(marked(value, removing=True))
    assert gone == {**json.loads(value), "inDelete": True}
    assert decode_network(OV1, marked(value, removing=True)).removing


def test_an_endpoint_is_written_as_docker_wrote_it() -> None:
    """From our own model of the container, its endpoint is Docker's to the byte."""
    records = dump(TWO_CONTAINERS)
    network = decode_network(OV1, records[KEYS.network(OV1)]).network
    endpoint = Endpoint(
        id=CA,
        network=OV1,
        sandbox="14012faba2e58ca53af8a17e5e5d3393103f9b153814cc9a06dc0126be4a47bc",
        ifname="veth5f711da",
        inside="eth0",
        mac="02:42:0a:00:00:02",
        addresses=(IPv4Interface("10.0.0.2/24"),),
    )
    sandbox = Sandbox(
        id=endpoint.sandbox,
        container="cda7d4873c507be5c8a18d3c899f708eba0b1af374129872f24e3894bdb1cd21",
        name="ca",
        hostname="cda7d4873c50",
        exposed=(("tcp", 80),),
        publish=(PortRequest("tcp", 80, host_port=8080),),
    )
    host = ip_address("192.0.2.11")
    value = records[KEYS.endpoint(OV1, CA)]
    assert encode_endpoint(network, endpoint, sandbox, host) == value
    peer = decode_endpoint(OV1, CA, value)
    assert (peer.name, peer.aliases, peer.host) == ("ca", ("cda7d4873c50",), host)
    assert (peer.mac, peer.addresses) == (endpoint.mac, endpoint.addresses)
    assert misplaced(peer, network) is None
    assert as_peer(network, endpoint, sandbox, host) == peer

    more = json.loads(value) | {"zfuture": 1}
    kept = encode_endpoint(network, endpoint, sandbox, host, rest=more)
    assert json.loads(kept) == more


def test_an_endpoint_with_both_families_and_aliases() -> None:
    """The pool of each address is named, and so is all that it is called."""
    pools = (
        Pool(ip_network("10.9.0.0/16"), ip_address("10.9.0.1"), ip_network("10.9.1.0/24")),
        Pool(ip_network("fd00:1::/64"), ip_address("fd00:1::1")),
    )
    network = Network("a" * 64, "n", "overlay", 0, pools, scope=Scope.GLOBAL)
    endpoint = Endpoint(
        "b" * 64, network.id, "c" * 64, "veth1", "eth0", "02:42:00:00:00:01",
        (ip_interface("10.9.1.2/16"), ip_interface("fd00:1::2/64")),
        aliases=("db", "db.local"),
    )  # fmt: skip
    sandbox = Sandbox("c" * 64, "d" * 64, "pg", "myhost")
    value = encode_endpoint(network, endpoint, sandbox, ip_address("192.0.2.11"))
    iface = json.loads(value)["ep_iface"]
    assert iface["v4PoolID"] == "GlobalDefault/10.9.0.0/16/10.9.1.0/24"
    assert iface["v6PoolID"] == "GlobalDefault/fd00:1::/64"
    peer = decode_endpoint(network.id, endpoint.id, value)
    assert peer.addresses == endpoint.addresses
    assert peer.aliases == ("db", "db.local", "d" * 12, "myhost")
    assert as_peer(network, endpoint, sandbox, ip_address("192.0.2.11")) == peer

    access = replace(sandbox, access=True)
    value = encode_endpoint(network, endpoint, access, ip_address("192.0.2.11"))
    found = decode_endpoint(network.id, endpoint.id, value)
    assert as_peer(network, endpoint, access, ip_address("192.0.2.11")) == found


CONFIG = KEYS.pools


@pytest.mark.parametrize("name", [TWO_CONTAINERS, SEVERAL_NETWORKS])
def test_pools_are_written_as_docker_wrote_them(name: str) -> None:
    """Read and written again, and built up from nothing in any order: the same to the byte."""
    value = dump(name)[CONFIG]
    pools = decode_pools(value)
    assert encode_pools(pools) == value
    built = Pools()
    for subnet in reversed(pools.subnets):
        built = built.with_pool(PoolId(subnet))
    assert encode_pools(built) == value
    for subnet in pools.subnets:
        built = built.without(PoolId(subnet))
    assert built.uses == {}


def test_a_part_of_a_pool_takes_all_of_it() -> None:
    """Two entries, as Docker has them; both go together; nobody else gets anything of it."""
    pool = pool_id("GlobalDefault/10.9.0.0/16/10.9.1.0/24")
    pools = Pools().with_pool(pool)
    entries = json.loads(encode_pools(pools))["Subnets"]
    assert entries["GlobalDefault/10.9.0.0/16/10.9.1.0/24"] == {
        "ParentKey": {"AddressSpace": "GlobalDefault", "Subnet": "10.9.0.0/16", "ChildSubnet": ""},
        "Pool": "10.9.0.0/16",
        "Range": {"End": 511, "Start": 256, "Sub": "10.9.1.0/24"},
        "RefCount": 1,
    }
    assert entries["GlobalDefault/10.9.0.0/16"]["RefCount"] == 1
    for other in ("10.9.0.0/16", "10.9.128.0/17", "10.0.0.0/8"):
        with pytest.raises(
            Forbidden, match=r"^Pool overlaps with other one on this address space$"
        ):
            decode_pools(encode_pools(pools)).with_pool(PoolId(ip_network(other)))
    assert decode_pools(encode_pools(pools)).without(pool).uses == {}


@given(st.integers(-(10**18), 4 * 10**18))
def test_points_in_time_come_back(nanos: int) -> None:
    """To the nanosecond."""
    assert nanoseconds(moment(nanos)) == nanos


def test_points_in_time_of_elsewhere() -> None:
    """A Docker host writes its own time of day, with the offset."""
    assert nanoseconds("2026-11-20T16:46:36.781154524+01:00") == nanoseconds(
        "2026-11-20T15:46:36.781154524Z"
    )


@pytest.mark.parametrize("place", ["192.0.2.12:2376", "[2001:db8::1]:2376"])
def test_hosts(place: str) -> None:
    """IPv4 and IPv6 ones."""
    node = decode_node(place, place.encode())
    assert encode_node(node) == place.encode()
    assert node.port == 2376


@pytest.mark.parametrize(
    "place",
    ["127.0.0.1:1", "0.0.0.0:1", "224.0.0.1:1", "host:1", "192.0.2.1", "192.0.2.1:0", "::1:5",
     "192.0.2.1:70000", "[fe80::1]:1", "[::ffff:127.0.0.1]:1", "192.0.2.1:１"],
)  # fmt: skip
def test_a_host_that_cannot_be(place: str) -> None:
    """Not the loopback, nobody, or everybody."""
    with pytest.raises(Invalid):
        decode_node(place, place.encode())


def test_a_host_is_where_its_key_says() -> None:
    """Or it could take another one's place."""
    with pytest.raises(Invalid):
        decode_node("192.0.2.1:1", b"192.0.2.2:1")
    assert Node(ip_address("192.0.2.1"), 1) == decode_node("192.0.2.1:1", b"192.0.2.1:1")


@pytest.mark.parametrize("prefix", ["", "some/prefix", "/slashes/"])
@pytest.mark.parametrize("nodes", ["docker/nodes", "my/own/nodes"])
def test_keys_have_their_meaning_below_any_prefix(prefix: str, nodes: str) -> None:
    """Every observed key means something there; folders and others' keys mean nothing."""
    keys = Keys(prefix, nodes)
    for key in dump(SEVERAL_NETWORKS):
        there = key.replace("docker/nodes", nodes, 1)
        moved = f"{prefix.strip('/')}/{there}".strip("/")
        assert keys.meaning(moved) == KEYS.meaning(key)
        assert KEYS.meaning(key) is not None
        assert keys.meaning(f"x{moved}") is None
    for folder in (
        keys.root,
        keys.nodes,
        keys.networks,
        keys.endpoints(OV1),
        f"{keys.root}/driver/x",
    ):
        assert keys.meaning(folder) is None
        assert keys.meaning(f"{folder}/") is None
    assert keys.meaning(keys.network(OV1)) == NetworkKey(OV1)
    assert keys.meaning(keys.node("192.0.2.1:1")) == NodeKey("192.0.2.1:1")


def _spoilt(value: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(value) | fields).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"locator": "127.0.0.1"}, {"locator": "224.0.0.1"}, {"locator": "0.0.0.0"},
        {"locator": "255.255.255.255"}, {"locator": "::1"}, {"locator": ""}, {"locator": 7},
        {"locator": "::ffff:127.0.0.1"}, {"locator": "fe80::1%eth0"},
        {"name": "a/b"}, {"name": "a\nb"}, {"name": ""}, {"name": "\u202egpj"}, {"name": "x" * 300},
        {"name": None}, {"myAliases": ["a/b"]}, {"myAliases": [1]}, {"myAliases": "a"},
        {"myAliases": ["x"] * 5000}, {"anonymous": 1}, {"id": CB}, {"ep_iface": None},
        {"ep_iface": []},
        {"ep_iface": {"mac": "01:00:5e:00:00:01", "addr": "10.0.0.2/24"}},
        {"ep_iface": {"mac": "00:00:00:00:00:00", "addr": "10.0.0.2/24"}},
        {"ep_iface": {"mac": "ff:ff:ff:ff:ff:ff", "addr": "10.0.0.2/24"}},
        {"ep_iface": {"mac": "x", "addr": "10.0.0.2/24"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02", "addr": "10.0.0.2"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02", "addr": "10.0.0.2/33"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02", "addr": "127.0.0.2/8"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02", "addr": "224.0.0.2/8"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02", "addr": "fd00::1/64"}},
        {"ep_iface": {"mac": "02:42:0a:00:00:02"}},
    ],
)  # fmt: skip
def test_a_hostile_endpoint_is_refused(fields: dict[str, object]) -> None:
    """With one line that says why."""
    value = _spoilt(dump(TWO_CONTAINERS)[KEYS.endpoint(OV1, CA)], **fields)
    with pytest.raises(Invalid) as error:
        decode_endpoint(OV1, CA, value)
    assert "\n" not in error.value.message
    assert len(error.value.message) < 200


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.0.1.2/24", "none of the network's pools"), ("10.0.0.2/16", "none of the network's"),
        ("10.0.0.1/24", "gateway"), ("10.0.0.0/24", "no host's"), ("10.0.0.255/24", "no host's"),
        ("10.0.0.9/24", "kept back"),
    ],
)  # fmt: skip
def test_an_endpoint_that_is_elsewhere(address: str, why: str) -> None:
    """Its address must be one that its network gives out."""
    network = decode_network(OV1, dump(TWO_CONTAINERS)[KEYS.network(OV1)]).network
    network = replace(
        network, pools=(replace(network.pools[0], auxiliary={"r": ip_address("10.0.0.9")}),)
    )
    peer = decode_endpoint(OV1, CA, dump(TWO_CONTAINERS)[KEYS.endpoint(OV1, CA)])
    found = misplaced(replace(peer, addresses=(ip_interface(address),)), network)
    assert found is not None
    assert why in found


def _info(pool: str, gateway: str, id_: str) -> str:
    inner = {"AddressSpace": "GlobalDefault", "Gateway": gateway, "Pool": pool}
    return json.dumps([{"IPAMData": json.dumps(inner), "PoolID": id_}])


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"}, {"name": ""}, {"name": "a\x00"}, {"id": OV3}, {"scope": "local"},
        {"scope": []}, {"networkType": 1}, {"configOnly": True}, {"inDelete": "no"},
        {"labels": {"a": 1}}, {"labels": []}, {"created": "yesterday"}, {"ipamV4Info": "["},
        {"ipamV4Info": "{}"}, {"ipamV4Info": []}, {"ipamV4Info": "[]"}, {"ipamV4Info": "[1]"},
        {"created": "9999-12-31T23:59:59-23:59:59"}, {"created": "2026-13-01T00:00:00Z"},
        {"labels": {str(n): "" for n in range(5000)}}, {"labels": {"a": "x" * 300_000}},
        {"ipamV4Info": _info("127.0.0.0/16", "127.0.0.1/16", "GlobalDefault/127.0.0.0/16")},
        {"ipamV4Info": _info("224.0.0.0/24", "224.0.0.1/24", "GlobalDefault/224.0.0.0/24")},
        {"ipamV4Info": _info("0.0.0.0/0", "0.0.0.1/0", "GlobalDefault/0.0.0.0/0")},
        {"ipamV4Info": _info("10.0.0.0/24", "10.0.1.1/24", "GlobalDefault/10.0.0.0/24")},
        {"ipamV4Info": _info("10.0.0.0/24", "10.0.0.1/24", "GlobalDefault/10.0.1.0/24")},
        {"ipamV4Info": _info("10.0.0.0/24", "10.0.0.1/24", "LocalDefault/10.0.0.0/24")},
        {"ipamV6Info": _info("::1/128", "::1/128", "GlobalDefault/::1/128")},
        {"ipamV6Info": _info("10.1.0.0/24", "10.1.0.1/24", "GlobalDefault/10.1.0.0/24")},
    ],
)  # fmt: skip
def test_a_hostile_network_is_refused(fields: dict[str, object]) -> None:
    """With one line that says why."""
    value = _spoilt(dump(TWO_CONTAINERS)[KEYS.network(OV1)], **fields)
    with pytest.raises(Invalid) as error:
        decode_network(OV1, value)
    assert "\n" not in error.value.message
    assert len(error.value.message) < 200


def test_we_do_not_write_what_others_would_refuse() -> None:
    """A name that no host would read is refused before anything is written."""
    network = decode_network(OV1, dump(TWO_CONTAINERS)[KEYS.network(OV1)]).network
    for name in ("a/b", "a\nb"):
        with pytest.raises(Invalid):
            encode_network(replace(network, name=name))


@pytest.mark.parametrize(
    "subnets",
    [
        [], None, [1], [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.0.0.1/24", "Vni": 1 << 24}],
        [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.0.0.1/24", "Vni": -1}],
        [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.0.0.1/24", "Vni": True}],
        [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.0.0.1/24", "Vni": 1.5}],
        [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.1.0.1/24", "Vni": 1}],
        [{"SubnetIP": "127.0.0.0/24", "GwIP": "127.0.0.1/24", "Vni": 1}],
        [{"SubnetIP": "10.0.0.0/24", "GwIP": "10.0.0.1/24", "Vni": 7},
         {"SubnetIP": "10.1.0.0/24", "GwIP": "10.1.0.1/24", "Vni": 7}],
    ],
)  # fmt: skip
def test_a_hostile_overlay_is_refused(subnets: object) -> None:
    """VNIs that are none, gateways of elsewhere, two subnets as one."""
    with pytest.raises(Invalid):
        decode_overlay(json.dumps({"mtu": 0, "secure": False, "subnets": subnets}).encode())
