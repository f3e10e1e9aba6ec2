"""Kept replies: what is given again is what was said, as old as it is; dnspython judges."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dns import message
from fairlead.dns.cache import Cache
from fairlead.dns.kept import Kept, keep
from fairlead.dns.message import Query

NAME = "www.Example.com."
ANSWERS = {
    "A": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    "AAAA": ["2001:db8::1", "2001:db8::2"],
    "MX": ["10 mail.example.com.", "20 other.example.net."],
    "SRV": ["1 2 443 www.example.com."],
    "TXT": ['"some text"', '"more"'],
    "CNAME": ["elsewhere.example.net."],
    "PTR": ["host.example.com."],
    "NS": ["ns.example.com."],
}
SOA = "ns.example.com. root.example.com. 1 2 3 4 {}"


def asked(type_: str = "A", name: str = NAME, id_: int = 1) -> Query:
    """A client's query as we read it."""
    return message.parse(dns.message.make_query(name, type_, id=id_).to_wire())


def replied(
    type_: str, ttls: list[int], *, edns: bool = False, id_: int = 1
) -> dns.message.Message:
    """What a server says: the records asked for, a server's name, and that one's address."""
    question = dns.message.make_query(NAME, type_, id=id_, use_edns=0 if edns else False)
    made = dns.message.make_response(question)
    made.flags |= dns.flags.AA
    made.answer = [dns.rrset.from_text(NAME, ttls[0], "IN", type_, *ANSWERS[type_])]
    made.authority = [dns.rrset.from_text("example.com.", ttls[1], "IN", "NS", "ns.example.com.")]
    made.additional = [dns.rrset.from_text("ns.example.com.", ttls[2], "IN", "A", "192.0.2.53")]
    return made


def told(kept: Kept, query: Query, now: float, turn: int = 0) -> dns.message.Message:
    """What a client makes of it."""
    return dns.message.from_wire(kept.reply(query, now, turn))


ages = st.integers(0, 100_000)


@given(
    st.sampled_from(sorted(ANSWERS)),
    st.lists(st.integers(1, 200_000), min_size=3, max_size=3),
    ages,
    st.booleans(),
    st.integers(0, 20),
    st.text("wWexamplEXAMPL", max_size=0).map(lambda _: NAME.upper()),
)
def test_a_reply_is_the_same_but_older(
    type_: str, ttls: list[int], age: int, edns: bool, turn: int, spelling: str
) -> None:
    """Records, code and EDNS stay; TTLs are less by its age; id and spelling are the client's."""
    original = replied(type_, ttls, edns=edns)
    kept = keep(original.to_wire(), asked(type_), 1000.0)
    assert kept is not None
    life = min(*ttls, 86400)
    assert kept.until == 1000.0 + life

    query = asked(type_, spelling, 77)
    reply = told(kept, query, 1000.0 + age, turn)

    assert (reply.id, reply.rcode(), reply.edns) == (77, original.rcode(), original.edns)
    assert reply.question[0].name.to_text() == spelling
    assert not reply.flags & dns.flags.AA
    for section in ("answer", "authority", "additional"):
        assert getattr(reply, section) == getattr(original, section)
    for rrset in (*reply.answer, *reply.authority, *reply.additional):
        if age < life:
            assert rrset.ttl <= life - age
            assert rrset.ttl == life - age or rrset.ttl > 0
        else:
            assert rrset.ttl == 30


@pytest.mark.parametrize("type_", ["A", "AAAA"])
def test_addresses_take_turns(type_: str) -> None:
    """Each comes first in turn, and none is lost."""
    original = replied(type_, [60, 60, 60])
    kept = keep(original.to_wire(), asked(type_), 0.0)
    assert kept is not None
    first = set()
    for turn in range(12):
        wire = kept.reply(asked(type_), 1.0, turn)
        found = dns.message.from_wire(wire, one_rr_per_rrset=True)
        assert {str(rr[0]) for rr in found.answer} == set(ANSWERS[type_])
        first.add(str(found.answer[0][0]))
    assert first == set(ANSWERS[type_])


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
@pytest.mark.parametrize(
    ("ttl", "minimum", "life"), [(3600, 60, 60), (60, 3600, 60), (86400, 86400, 900)]
)
def test_denials_live_as_the_soa_says(
    rcode: dns.rcode.Rcode, ttl: int, minimum: int, life: int
) -> None:
    """The lesser of its TTL and its minimum, and not for hours."""
    made = dns.message.make_response(dns.message.make_query(NAME, "A"))
    made.set_rcode(rcode)
    made.authority = [dns.rrset.from_text("example.com.", ttl, "IN", "SOA", SOA.format(minimum))]
    kept = keep(made.to_wire(), asked(), 0.0)
    assert kept is not None
    assert kept.until == life
    assert told(kept, asked(), 10.0).authority[0].ttl == life - 10


def test_an_alias_that_leads_nowhere_is_a_denial() -> None:
    """A CNAME without what was asked for lives as the SOA says, or is not kept."""
    made = dns.message.make_response(dns.message.make_query(NAME, "A"))
    made.answer = [dns.rrset.from_text(NAME, 600, "IN", "CNAME", "gone.example.net.")]
    assert keep(made.to_wire(), asked(), 0.0) is None
    made.authority = [dns.rrset.from_text("example.net.", 900, "IN", "SOA", SOA.format(30))]
    kept = keep(made.to_wire(), asked(), 0.0)
    assert kept is not None
    assert kept.until == 30


def _flagged(made: dns.message.Message, flag: int) -> dns.message.Message:
    made.flags |= flag
    return made


def _coded(made: dns.message.Message, rcode: dns.rcode.Rcode) -> dns.message.Message:
    made.set_rcode(rcode)
    return made


@pytest.mark.parametrize(
    "made",
    [
        replied("A", [0, 60, 60]),
        replied("A", [60, 60, 0]),
        _flagged(replied("A", [60, 60, 60]), dns.flags.TC),
        _coded(replied("A", [60, 60, 60]), dns.rcode.SERVFAIL),
        _coded(replied("A", [60, 60, 60]), dns.rcode.REFUSED),
        _coded(dns.message.make_response(dns.message.make_query(NAME, "A")), dns.rcode.NXDOMAIN),
        dns.message.make_response(dns.message.make_query(NAME, "A")),
    ],
)
def test_some_replies_are_for_once(made: dns.message.Message) -> None:
    """No time to live, cut, a failure, a denial without a SOA."""
    assert keep(made.to_wire(), asked(), 0.0) is None


def test_a_ttl_of_the_next_age_counts_as_none() -> None:
    """One with the top bit set is no time at all (RFC 2181)."""
    wire = bytearray(replied("A", [60, 60, 60]).to_wire())
    kept = keep(bytes(wire), asked(), 0.0)
    assert kept is not None
    wire[kept.ttls[0][0]] |= 0x80
    assert keep(bytes(wire), asked(), 0.0) is None


@given(st.data())
def test_broken_replies_do_no_harm(data: st.DataObject) -> None:
    """However a reply is mangled, it is kept and told as far as it goes, or not at all."""
    query = asked()
    wire = bytearray(replied("A", [60, 60, 60], edns=True).to_wire())
    for _ in range(data.draw(st.integers(1, 8))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    mangled = bytes(wire[: data.draw(st.integers(12, len(wire)))])
    kept = keep(mangled, query, 0.0)
    if kept is not None:
        assert len(kept.reply(query, 5.0, 1)) == len(mangled)
        assert len(kept.reply(query, 500_000.0, 2)) == len(mangled)


@given(st.binary(max_size=200))
def test_noise_does_no_harm(noise: bytes) -> None:
    """Whatever a server sends, nothing else goes wrong."""
    query = asked()
    header = message.HEADER.pack(1, 0x8180, 1, 2, 1, 1)
    kept = keep(header + query.question + noise, query, 0.0)
    assert kept is None or kept.reply(query, 1.0)


def small(ttl: int = 60) -> Kept:
    """A reply of the usual size."""
    made = dns.message.make_response(dns.message.make_query(NAME, "A"))
    made.answer = [dns.rrset.from_text(NAME, ttl, "IN", "A", "192.0.2.1")]
    kept = keep(made.to_wire(), asked(), 0.0)
    assert kept is not None
    return kept


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", "c"]), st.integers(0, 9)),
        max_size=200,
    )
)
def test_a_cache_never_holds_more_than_its_room(steps: list[tuple[int, str, int]]) -> None:
    """Whoever puts in what, in whatever order: its books are right, and its room suffices."""
    kept = small()
    cache = Cache(room_bytes=kept.cost_bytes * 8)
    there: dict[int, str] = {}
    for key, owner, what in steps:
        if what == 0:
            cache.forget(owner)
            there = {k: o for k, o in there.items() if o != owner}
        elif what == 1:
            cache.drop(key)
            there.pop(key, None)
        else:
            cache.put(key, kept, owner)
            there[key] = owner
        there = {k: o for k, o in there.items() if cache.get(k) is not None}
        assert len(cache) == len(there)
        assert cache.bytes == len(there) * kept.cost_bytes <= kept.cost_bytes * 8
        assert all(found.owner == o for k, o in there.items() if (found := cache.get(k)))


def test_who_has_most_gives_way() -> None:
    """One who asks for a thousand names pushes out his own, the oldest first."""
    kept = small()
    cache = Cache(room_bytes=kept.cost_bytes * 10)
    for number in range(4):
        cache.put(("modest", number), kept, "modest")
    for number in range(1000):
        cache.put(("greedy", number), kept, "greedy")
    assert all(cache.get(("modest", number)) for number in range(4))
    assert [number for number in range(1000) if cache.get(("greedy", number))] == [
        *range(994, 1000)
    ]


def test_spelling_by_lot_is_still_the_name() -> None:
    """Letters may change their case, nothing else may, whatever the lot."""
    question = asked("AAAA", "a-Very9.Odd[name]{.example").question
    for noise in (b"\xff" * 99, b"\0" * 99, bytes(range(99))):
        mixed = message.mixed(question, noise[: len(question) + 2])
        assert mixed.lower() == question.lower()
        assert mixed[-4:] == question[-4:]
    assert message.mixed(question, b"\xff" * 99)[1:2] == b"A"
