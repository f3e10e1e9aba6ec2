"""The view: what a host sees of the others, and what it refuses to see."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.cluster.keys import Keys
from fairlead.cluster.overlay import NO_VNI
from fairlead.cluster.table import Table
from fairlead.cluster.view import View, changed, peers
from tests.cluster.observed import CA, CB, OV1, OV3, OVI, SEVERAL_NETWORKS, TWO_CONTAINERS, dump

KEYS = Keys()
DUMP = dump(TWO_CONTAINERS)
SEVERAL = dump(SEVERAL_NETWORKS)
HOST_A, HOST_B = ip_address("192.0.2.11"), ip_address("192.0.2.12")
BOTH = {HOST_A, HOST_B}


def _endpoint(id_: str, **fields: object) -> tuple[str, bytes]:
    """An endpoint like the observed one; fields of its interface may be changed, too."""
    record = json.loads(DUMP[KEYS.endpoint(OV1, CA)])
    iface = {name: fields.pop(name) for name in ("addr", "mac") if name in fields}
    record.update(fields, id=id_)
    record["ep_iface"].update(iface)
    return KEYS.endpoint(OV1, id_), json.dumps(record).encode()


def test_a_real_cluster_of_two() -> None:
    """Each host sees the other one's container, and nothing is wrong."""
    view = View.of(DUMP.items())
    assert dict(view.complaints) == {}
    assert view.hosts == BOTH
    assert [peer.name for peer in peers(view, OV1, HOST_A, BOTH)] == ["cb"]
    assert [peer.name for peer in peers(view, OV1, HOST_B, BOTH)] == ["ca"]
    assert view.vni(OV1, ip_network("10.0.0.0/24")) == 256
    assert {record.network.name for record in View.of(SEVERAL.items()).networks.values()} == {
        "ov1",
        "ov3",
        "ovi",
    }
    assert View.of(SEVERAL.items()).vni(OV3, ip_network("10.5.0.0/24")) == NO_VNI


def test_a_dead_host_has_no_peers() -> None:
    """Its endpoints are still written, and count again when it is back."""
    view = View.of(DUMP.items())
    node = "docker/nodes/192.0.2.12:2376"
    gone = view.after(node, None)
    assert peers(gone, OV1, HOST_A, gone.hosts) == []
    back = gone.after(node, DUMP[node])
    assert peers(back, OV1, HOST_A, back.hosts) == peers(view, OV1, HOST_A, view.hosts)


def test_an_endpoint_that_leaves_is_gone() -> None:
    """And so is one whose network goes."""
    view = View.of(DUMP.items())
    left = view.after(KEYS.endpoint(OV1, CB), None)
    assert peers(left, OV1, HOST_A, BOTH) == []
    assert list(changed(view, left)) == [(view.endpoints(OV1)[CB], None)]
    without = view.after(KEYS.network(OV1), None)
    assert peers(without, OV1, HOST_A, BOTH) == []
    assert without.complaints[KEYS.endpoint(OV1, CB)] == "its network is not known"
    assert without.after(KEYS.network(OV1), DUMP[KEYS.network(OV1)]) == view


@pytest.mark.parametrize("what", ["addr", "mac"])
def test_who_came_first_keeps_what_two_claim(what: str) -> None:
    """The later one is complained about, and gets it when the first goes."""
    same = "02:42:0a:00:00:03" if what == "mac" else "02:42:0a:00:00:63"
    addr = "10.0.0.3/24" if what == "addr" else "10.0.0.99/24"
    # Its id comes first, it comes later.
    key, value = _endpoint("0" * 64, addr=addr, mac=same)
    view = View.of(DUMP.items()).after(key, value)
    assert set(view.endpoints(OV1)) == {CA, CB}
    assert CB in view.complaints[key]
    alone = view.after(KEYS.endpoint(OV1, CB), None)
    assert set(alone.endpoints(OV1)) == {CA, "0" * 64}
    assert dict(alone.complaints) == {}
    # The one who had it is the later one now.
    again = alone.after(KEYS.endpoint(OV1, CB), DUMP[KEYS.endpoint(OV1, CB)])
    assert set(again.endpoints(OV1)) == {CA, "0" * 64}
    # Of those that become known at once, the lowest key has it; who was known before stays.
    pairs = {**DUMP, key: value}
    assert set(View.of(pairs.items()).endpoints(OV1)) == {CA, "0" * 64}
    assert set(View.of(pairs.items(), before=View.of(DUMP.items())).endpoints(OV1)) == {CA, CB}


def test_who_cannot_be_where_it_says_takes_nothing() -> None:
    """A MAC in a record that is refused anyhow stays its owner's, whoever is known first."""
    for addr in ("10.77.0.9/24", "10.0.0.1/24", "10.0.0.255/24"):
        key, value = _endpoint("0" * 64, addr=addr, mac="02:42:0a:00:00:03")
        rest = {at: what for at, what in DUMP.items() if at != KEYS.endpoint(OV1, CB)}
        views = [
            View.of({**DUMP, key: value}.items()),
            View.of({**rest, key: value}.items()).after(
                KEYS.endpoint(OV1, CB), DUMP[KEYS.endpoint(OV1, CB)]
            ),
            # Before its network is known nobody can tell.
            View.of({key: value}.items())
            .after(KEYS.endpoint(OV1, CB), DUMP[KEYS.endpoint(OV1, CB)])
            .after(KEYS.endpoint(OV1, CA), DUMP[KEYS.endpoint(OV1, CA)])
            .after(KEYS.network(OV1), DUMP[KEYS.network(OV1)]),
        ]
        for view in views:
            assert set(view.endpoints(OV1)) == {CA, CB}
            assert list(view.complaints) == [key]
            assert view.rivals(OV1, CB) == frozenset()
        # Rewritten as one that could be, it is the later one.
        moved = views[0].after(*_endpoint("0" * 64, addr="10.0.0.9/24", mac="02:42:0a:00:00:03"))
        assert set(moved.endpoints(OV1)) == {CA, CB}
        assert CB in moved.complaints[key]
        # A lie about a MAC alone drives nobody off.
        assert moved.rivals(OV1, CB) == frozenset()
        alone = moved.after(KEYS.endpoint(OV1, CB), None)
        assert set(alone.endpoints(OV1)) == {CA, "0" * 64}
        assert dict(alone.complaints) == {}


def test_an_id_is_one_endpoints_in_the_whole_cluster() -> None:
    """A copy under another network's key is refused, until the one that was copied is gone."""
    record = json.loads(SEVERAL[KEYS.endpoint(OV1, CB)])
    record["ep_iface"]["addr"], record["locator"] = "10.5.0.9/24", "192.0.2.66"
    key, value = KEYS.endpoint(OV3, CB), json.dumps(record).encode()
    view = View.of(SEVERAL.items()).after(key, value)
    assert set(view.endpoints(OV1)) == {CA, CB}
    assert not view.endpoints(OV3)
    assert OV1 in view.complaints[key]
    alone = view.after(KEYS.endpoint(OV1, CB), None)
    assert set(alone.endpoints(OV3)) == {CB}
    assert dict(alone.complaints) == {}


def test_three_claim_one_address() -> None:
    """As each goes, the next in turn has it, and the complaints name the one who does."""
    view = View.of(DUMP.items())
    for n, id_ in enumerate(("2" * 64, "1" * 64)):
        key, value = _endpoint(id_, addr="10.0.0.2/24", mac=f"02:42:0a:00:01:0{n}")
        view = view.after(key, value)
    assert set(view.endpoints(OV1)) == {CA, CB}
    view = view.after(KEYS.endpoint(OV1, CA), None)
    assert set(view.endpoints(OV1)) == {CB, "2" * 64}
    assert "2" * 64 in view.complaints[KEYS.endpoint(OV1, "1" * 64)]
    view = view.after(KEYS.endpoint(OV1, "2" * 64), None)
    assert set(view.endpoints(OV1)) == {CB, "1" * 64}
    assert dict(view.complaints) == {}


def test_a_new_owner_of_an_address_is_another_peer() -> None:
    """Endpoint goes, address is given out again: nothing of the old one is left."""
    view = View.of(DUMP.items()).after(KEYS.endpoint(OV1, CB), None)
    key, value = _endpoint("9" * 64, addr="10.0.0.3/24", mac="02:42:aa:aa:aa:aa")
    (change,) = changed(view, view.after(key, value))
    assert change[0] is None
    assert change[1] is not None
    assert change[1].mac == "02:42:aa:aa:aa:aa"


def test_a_spoilt_value_takes_nothing_away() -> None:
    """It is complained about; what the key said stands until it is written well or removed."""
    view = View.of(DUMP.items())
    for key in (KEYS.endpoint(OV1, CB), KEYS.network(OV1), KEYS.overlay(OV1)):
        spoilt = view.after(key, b"\x00junk")
        assert dict(spoilt.complaints) == {key: "it is not JSON"}
        assert peers(spoilt, OV1, HOST_A, BOTH) == peers(view, OV1, HOST_A, BOTH)
        assert spoilt.vni(OV1, ip_network("10.0.0.0/24")) == 256
        assert spoilt.after(key, DUMP[key]) == view
        assert dict(spoilt.after(key, None).complaints) == dict(view.after(key, None).complaints)


def test_a_network_that_is_lived_in_stays_what_it_is() -> None:
    """Other pools are refused, and change nothing, until nobody is on it."""
    view = View.of(DUMP.items())
    key = KEYS.network(OV1)
    other = DUMP[key].replace(b"10.0.0.", b"10.77.0.")
    moved = view.after(key, other)
    assert dict(moved.endpoints(OV1)) == dict(view.endpoints(OV1)) != {}
    assert moved.networks[OV1] == view.networks[OV1]
    assert list(moved.complaints) == [key]
    assert moved.after(key, DUMP[key]) == view
    left = moved
    for endpoint in view.endpoints(OV1):
        left = left.after(KEYS.endpoint(OV1, endpoint), None)
    assert left.after(key, other).networks[OV1] != view.networks[OV1]


def test_two_networks_never_share_a_vni() -> None:
    """Who claims one that is another's has none, and both are as they should be afterwards."""
    subnet = ip_network("10.0.1.0/24")
    key = KEYS.overlay(OVI)
    view = View.of(SEVERAL.items())
    claimed = view.after(key, SEVERAL[key].replace(b'"Vni":0', b'"Vni":256'))
    assert claimed.vni(OVI, subnet) == NO_VNI
    assert claimed.vni(OV1, ip_network("10.0.0.0/24")) == 256
    assert OV1 in claimed.complaints[key]
    freed = claimed.after(KEYS.overlay(OV1), None)
    assert freed.vni(OVI, subnet) == 256
    assert dict(freed.complaints) == {}


def test_what_is_gone_at_the_next_look_is_gone() -> None:
    """A snapshot says all there is: hosts, endpoints and complaints that it lacks are void."""
    view = View.of(DUMP.items()).after(KEYS.endpoint(OV1, "e" * 64), b"junk")
    rest = {KEYS.network(OV1): DUMP[KEYS.network(OV1)]}
    again = View.of(rest.items(), before=view)
    assert again == View.of(rest.items())
    assert again.hosts == frozenset()
    assert dict(again.complaints) == {}


IDS = ["0" * 64, "1" * 64, "2" * 64, CA, CB]
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.builds(
        lambda addr, mac, locator, name: {
            "addr": f"10.0.{addr // 256}.{addr % 256}/24", "mac": f"02:42:00:00:00:0{mac}",
            "locator": locator, "name": name,
        },
        st.integers(1, 300).map(lambda n: n % 6 if n < 290 else n), st.integers(0, 4),
        st.sampled_from(["192.0.2.11", "192.0.2.12", "127.0.0.1"]), st.text(max_size=4),
    ),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(IDS), VALUES), max_size=30), st.booleans())
def test_step_by_step_nobody_has_anothers(
    events: list[tuple[str, object]], network_first: bool
) -> None:
    """After every event: no address and no MAC twice, and each refused one is complained about."""
    network = (KEYS.network(OV1), DUMP[KEYS.network(OV1)])
    view = View.of([network] if network_first else [])
    for id_, what in events:
        if isinstance(what, dict):
            key, value = _endpoint(id_, **what)
            after = view.after(key, value)
        else:
            assert what is None or isinstance(what, bytes)
            after = view.after(KEYS.endpoint(OV1, id_), what)
        expected = dict(after.endpoints(OV1))
        was = dict(view.endpoints(OV1))
        for old, new in changed(view, after):
            peer = old or new
            assert peer is not None
            if new is None:
                del was[peer.id]
            else:
                was[peer.id] = new
        assert was == expected
        view = after
    if not network_first:
        view = view.after(*network)
    assert {p for host in BOTH for p in view.on(host)} == {*view.endpoints(OV1).values()}
    members = list(view.endpoints(OV1).values())
    assert len({p.mac for p in members}) == len(members)
    assert len({a.ip for p in members for a in p.addresses}) == len(members)
    assert all(p.host in BOTH for p in members)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TARGETS = sorted(DUMP)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_hostile_value_never_gets_anywhere(data: st.DataObject) -> None:
    """Any field of any record replaced by anything, and anything at all as a value."""
    key = data.draw(st.sampled_from(TARGETS))
    view = View.of(DUMP.items())
    if data.draw(st.booleans()) or key.startswith("docker/nodes"):
        view.after(key, data.draw(st.binary(max_size=200)))
        view.after(key, json.dumps(data.draw(HOSTILE)).encode())
        return
    record = json.loads(DUMP[key])
    place = record
    while True:
        field = data.draw(st.sampled_from(sorted(place)))
        if isinstance(place[field], dict) and place[field] and data.draw(st.booleans()):
            place = place[field]
            continue
        text = place[field]
        if isinstance(text, str) and text and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(text) - 1))
            place[field] = text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :]
        else:
            place[field] = data.draw(HOSTILE)
        break
    after = view.after(key, json.dumps(record).encode())
    for peer in peers(after, OV1, HOST_A, after.hosts):
        assert peer.host == HOST_B
        assert all(address.network == ip_network("10.0.0.0/24") for address in peer.addresses)


@pytest.mark.parametrize(
    "value",
    [b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000, b'{"id":"' + b"x" * 3_000_000 + b'"}',
     b'"\\ud800"', b"\xff\xfe", b"NaN", b"1e999999", b'{"Count":1e400}', b'{"Count":-1}'],
)  # fmt: skip
def test_a_bomb_is_only_a_complaint(value: bytes) -> None:
    """Deep, huge, not quite text: refused wherever it lies."""
    view = View()
    for key in DUMP:
        view = view.after(key, value)
    assert set(view.complaints) == set(DUMP)


CHANGES = st.lists(st.tuples(st.integers(0, 200), st.none() | st.integers()), max_size=200)


@given(CHANGES, CHANGES)
def test_a_draft_of_a_table_is_a_mapping(
    first: list[tuple[int, int | None]], then: list[tuple[int, int | None]]
) -> None:
    """It becomes what the same changes one by one make, and what it came of stays as it was."""
    table = Table[int, int]()
    for changes in (first, then):
        before, draft, one_by_one = dict(table), table.draft(), table
        for key, value in changes:
            if value is None:
                draft.drop(key)
                one_by_one = one_by_one.drop(key)
            else:
                draft.put(key, value)
                one_by_one = one_by_one.put(key, value)
            assert draft.get(key) == value
            assert (key in draft) == (value is not None)
        assert {*draft} == {*one_by_one}
        assert dict(table) == before
        table = draft.table()
        assert table == one_by_one
        assert len(table) == len(draft) == len(one_by_one)
    assert table.draft().table() is table


@given(CHANGES)
def test_a_table_is_a_mapping(changes: list[tuple[int, int | None]]) -> None:
    """It holds what a dict would, and says where it differs from any earlier one."""
    table, plain, first = Table[int, int](), dict[int, int](), Table[int, int]()
    for key, value in changes:
        if value is None:
            table = table.drop(key)
            plain.pop(key, None)
        else:
            table = table.put(key, value)
            plain[key] = value
        if len(plain) == 3:
            first = table
    assert dict(table) == plain
    assert len(table) == len(plain)
    differing = {k for k in {*table, *first} if table.get(k) != first.get(k)}
    assert set(table.differing(first)) == differing
    assert (table == first) == (not differing)
