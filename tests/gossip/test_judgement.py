"""Who is believed: members, at a bearable pace, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cluster.gossip import PeerEvent
from fairlead.gossip.admission import BURST, PER_SECOND, Admission
from fairlead.gossip.gossip import node_name
from fairlead.gossip.roster import MISSED_SECONDS, Member, MemberEvent, Roster, What
from fairlead.gossip.rpc import RawMember
from fairlead.gossip.troubles import AGAIN_SECONDS, Once, trouble
from fairlead.gossip.wire import end

OWN, ONE, TWO = (ip_address(f"192.0.2.{number}") for number in (1, 2, 3))
NETWORK = "ab" * 32
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=70_000),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=20,
)


def event(host: object = ONE, number: int = 1, *, joined: bool = True) -> PeerEvent:
    """An endpoint that comes or goes."""
    address = IPv4Interface("10.0.0.9/24")
    return PeerEvent(
        joined, IPv4Address(str(host)), NETWORK, f"{number:064x}", address, "02:42:0a:00:00:09"
    )


def raw(name: str, address: object, status: str = "alive") -> RawMember:
    """A member as an agent lists it."""
    return RawMember(name, IPv4Address(str(address)).packed, 7946, status)


def said(events: Iterable[MemberEvent]) -> list[tuple[What, str]]:
    """What became of which address."""
    return [(one.what, str(one.member.address)) for one in events]


@given(VALUES, st.binary(max_size=20))
def test_the_end_of_a_value_is_found(value: object, rest: bytes) -> None:
    """Just where msgspec says that it ends, and not before all of it is there."""
    data = msgspec.msgpack.encode(value)
    assert end(data + rest) == len(data)
    for length in {0, 1, len(data) // 2, len(data) - 1} - {len(data)}:
        assert end(data[:length]) is None


@given(st.binary(max_size=2000))
def test_noise_has_an_end_or_none(data: bytes) -> None:
    """Garbage is measured without harm."""
    try:
        found = end(data)
    except ValueError:
        assert b"\xc1" in data
    else:
        assert found is None or 0 < found <= len(data)


def test_an_event_is_not_believed_twice() -> None:
    """What serf's clock shows to be old is refused, in whatever order it comes."""
    judge = Admission()
    assert not judge.refused(event(), 5, 0.0)
    assert "repeats" in judge.refused(event(), 5, 0.0)
    assert not judge.refused(event(joined=False), 7, 0.0)
    assert "repeats" in judge.refused(event(), 6, 0.0)
    assert not judge.refused(event(number=2), 6, 0.0)
    assert not judge.refused(event(), 8, 0.0)


def test_nobody_speaks_for_others_about_time() -> None:
    """A far time of one host is no reason to refuse another's words about an endpoint."""
    judge = Admission()
    assert not judge.refused(event(ONE), 2**63, 0.0)
    assert not judge.refused(event(TWO), 1, 0.0)


def test_a_flood_of_one_host_is_cut_and_others_are_heard() -> None:
    """After the burst it is heard at its pace again."""
    judge = Admission()
    believed = sum(not judge.refused(event(ONE, number), 1, 0.0) for number in range(10_000))
    assert believed == BURST
    assert not judge.refused(event(TWO), 1, 0.0)
    later = sum(not judge.refused(event(ONE, 20_000 + n), 1, 1.0) for n in range(10_000))
    assert later == PER_SECOND


def test_a_roster_tells_news_only() -> None:
    """Each coming and going once, by event or by list, and nothing about ourselves."""
    roster = Roster(OWN)
    everybody = [raw("me", OWN), raw("one", ONE), raw("two", TWO, "failed")]
    assert said(roster.listed(everybody, 0.0)) == [(What.JOINED, "192.0.2.2")]
    assert said(roster.listed(everybody, 0.0)) == []
    assert [address in roster for address in (ONE, TWO, OWN)] == [True, False, False]
    assert said(roster.heard("member-join", [raw("two", TWO)])) == [(What.JOINED, "192.0.2.3")]
    assert said(roster.heard("member-failed", [raw("two", TWO)])) == [(What.FAILED, "192.0.2.3")]
    assert said(roster.heard("member-reap", [raw("two", TWO)])) == []
    assert said(roster.heard("member-leave", [raw("one", ONE)])) == [(What.LEFT, "192.0.2.2")]
    assert said(roster.heard("member-update", [raw("one", ONE)])) == []
    assert len(roster) == 0


def test_a_host_with_a_new_name_is_not_dead_with_its_old_one() -> None:
    """Tunnels lead to addresses: one lives as long as any of its names."""
    roster = Roster(OWN)
    assert said(roster.heard("member-join", [raw("old", ONE)])) == [(What.JOINED, "192.0.2.2")]
    assert said(roster.heard("member-join", [raw("new", ONE)])) == []
    assert said(roster.heard("member-failed", [raw("old", ONE)])) == []
    assert ONE in roster
    assert said(roster.heard("member-leave", [raw("new", ONE)])) == [(What.LEFT, "192.0.2.2")]


def test_a_host_that_moves_leaves_its_old_address() -> None:
    """The same name at another address."""
    roster = Roster(OWN)
    assert said(roster.heard("member-join", [raw("one", ONE)])) == [(What.JOINED, "192.0.2.2")]
    moved = said(roster.heard("member-join", [raw("one", TWO)]))
    assert moved == [(What.LEFT, "192.0.2.2"), (What.JOINED, "192.0.2.3")]


def test_a_new_agent_that_knows_nobody_is_no_news() -> None:
    """Who is absent from its list is missed after a while, and not if it comes back."""
    roster = Roster(OWN)
    assert said(roster.listed([raw("one", ONE), raw("two", TWO)], 0.0))
    assert said(roster.listed([raw("me", OWN)], 1.0)) == []
    assert roster.missing
    assert said(roster.listed([raw("one", ONE)], 2.0)) == []
    late = 1.0 + MISSED_SECONDS
    assert said(roster.listed([raw("one", ONE)], late)) == [(What.REAPED, "192.0.2.3")]
    assert (roster.missing, ONE in roster) == (False, True)


@pytest.mark.parametrize("packed", [b"", b"123", b"x" * 17])
def test_a_member_without_an_address_is_passed_over(packed: bytes) -> None:
    """An agent that lists nonsense does no harm."""
    roster = Roster(OWN)
    assert said(roster.heard("member-join", [RawMember("x", packed, 1)])) == []


def test_an_address_dressed_as_ipv6_is_known() -> None:
    """Go writes IPv4 in sixteen bytes now and then."""
    roster = Roster(OWN)
    dressed = RawMember("one", b"\0" * 10 + b"\xff\xff" + ONE.packed, 7946)
    member = Member("one", ONE, 7946, alive=True)
    assert list(roster.heard("member-join", [dressed])) == [MemberEvent(What.JOINED, member)]


def test_a_log_becomes_clear_lines() -> None:
    """What serf writes of equal names and other keys, and nothing of the rest."""
    mine = (
        "2026/11/21 08:15:23 [ERR] serf: Node name conflicts with another node at 192.0.2.1:7946."
        " Names must be unique! (Resolution enabled: false)"
    )
    assert "the host at 192.0.2.1 has our name, 'web-1'" in trouble(mine, "web-1")
    both = (
        "[WARN] serf: Name conflict for 'x' both 192.0.2.9:7946 and [2001:db8::2]:7946 are claiming"
    )
    assert "hosts at 192.0.2.9 and 2001:db8::2 have one name, 'x'" in trouble(both, "web-1")
    key = (
        "[ERR] memberlist: failed to receive: No installed keys could decrypt the message"
        " from=192.0.2.2:36408"
    )
    assert trouble(key, "web-1").startswith("192.0.2.2 has another key")
    assert trouble("[INFO] serf: EventMemberJoin: x 192.0.2.1", "web-1") == ""
    hostile = "[WARN] serf: Name conflict for '\x1b[2J' both 1.2.3.4:1 and 1.2.3.5:1 are claiming"
    assert trouble(hostile, "web-1").isprintable()


def test_a_trouble_is_said_once_and_few_are() -> None:
    """The same line again after a while; a flood of different ones is cut."""
    once = Once()
    assert once.new("a", 0.0)
    assert not once.new("a", 1.0)
    assert once.new("a", AGAIN_SECONDS)
    assert sum(once.new(f"line {n}", AGAIN_SECONDS) for n in range(10_000)) < 1000


def test_a_name_is_a_hosts_own() -> None:
    """Its host name for people, and some of its engine's id."""
    assert node_name("web", "0123456789abcdef") == "web-01234567"
    assert node_name("we b\n/ü", "0123456789abcdef") == "we-b----01234567"
    assert node_name("", "0123456789abcdef") == "host-01234567"
    assert len(node_name("x" * 500, "0123456789abcdef")) < 128
