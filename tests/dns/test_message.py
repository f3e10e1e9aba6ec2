"""DNS on the wire: whatever is sent, the reply is right or there is none; dnspython judges."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.dns import message
from fairlead.dns.message import Malformed, Query

labels = st.lists(st.binary(min_size=1, max_size=20), max_size=8).map(tuple)
types = st.integers(1, 65535).filter(lambda number: number != message.OPT)
ids = st.integers(0, 65535)


@given(labels, types, ids, st.one_of(st.none(), st.integers(0, 65535)))
def test_any_query_is_read_as_it_was_written(
    name: tuple[bytes, ...], type_: int, id_: int, edns_bytes: int | None
) -> None:
    """What another implementation asks is what we hear."""
    ask = dns.message.make_query(
        dns.name.Name([*name, b""]), dns.rdatatype.RdataType.make(type_), id=id_
    )
    if edns_bytes is not None:
        ask.use_edns(0, payload=edns_bytes)

    query = message.parse(ask.to_wire())

    assert (query.id, query.labels, query.type, query.class_) == (id_, name, type_, message.IN)
    assert query.edns == (edns_bytes is not None)
    assert query.udp_bytes == min(max(edns_bytes or 0, 512), message.LARGEST_UDP_BYTES)


@given(
    st.lists(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,20}", fullmatch=True), min_size=1,
             max_size=6),
    types, ids, st.sampled_from([0, 512, 1232, 4096]),
)  # fmt: skip
def test_our_own_queries_are_read_by_others_and_us(
    parts: list[str], type_: int, id_: int, udp_bytes: int
) -> None:
    """A query we write means the same to another implementation and to ourselves."""
    name = ".".join(parts)
    wire = message.ask(id_, name, type_, udp_bytes=udp_bytes)

    theirs, ours = dns.message.from_wire(wire), message.parse(wire)

    assert theirs.question[0].name == dns.name.from_text(name)
    assert (theirs.id, theirs.question[0].rdtype) == (id_, type_)
    assert (ours.id, ours.name, ours.type) == (id_, name.lower(), type_)
    assert ours.udp_bytes == max(udp_bytes, 512)


@given(
    labels, ids, st.booleans(),
    st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), max_size=200, unique=True),
    st.sampled_from([512, 1232, 65507, 65535]),
)  # fmt: skip
def test_replies_are_read_by_others(
    name: tuple[bytes, ...],
    id_: int,
    edns: bool,
    addresses: list[IPv4Address | IPv6Address],
    limit: int,
) -> None:
    """A reply holds the question as asked and its answers, as many as fit, or says TC."""
    ask = dns.message.make_query(dns.name.Name([*name, b""]), "A", id=id_, use_edns=edns)
    records = [message.address(address, 600) for address in addresses]

    wire = message.build(message.parse(ask.to_wire()), records=records, limit=limit)
    reply = dns.message.from_wire(wire, one_rr_per_rrset=True)

    assert len(wire) <= limit
    assert ask.is_response(reply)
    assert reply.question[0].name.labels == ask.question[0].name.labels
    assert reply.edns == (0 if edns else -1)
    got = [ip_address(rrset[0].to_text()) for rrset in reply.answer]
    assert got == addresses[: len(got)]
    assert all(rrset.name == ask.question[0].name and rrset.ttl == 600 for rrset in reply.answer)
    assert bool(reply.flags & dns.flags.TC) == (len(got) < len(addresses))


@given(st.binary(max_size=300))
@example(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")
def test_any_bytes_are_a_query_or_malformed(wire: bytes) -> None:
    """Nothing that may arrive raises anything but Malformed, whose reply is well-formed."""
    try:
        message.parse(wire)
    except Malformed as error:
        if error.reply is not None:
            reply = dns.message.from_wire(error.reply)
            assert reply.flags & dns.flags.QR
            assert reply.rcode() != dns.rcode.NOERROR


@given(st.binary(max_size=300), st.integers(0, 299))
def test_broken_queries_are_a_query_or_malformed(noise: bytes, at: int) -> None:
    """The same for a proper query with noise in it."""
    wire = dns.message.make_query("a.name.of.some.length", "AAAA", use_edns=0).to_wire()
    try:
        message.parse(wire[:at] + noise)
    except Malformed as error:
        broken = error.reply
        assert broken is None or dns.message.from_wire(broken).rcode() != dns.rcode.NOERROR


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("itself", b"\xc0\x0c"), ("forward", b"\xc0\x20"), ("header", b"\xc0\x04"), ("cut", b"\xc0")],
)
def test_pointers_that_lead_nowhere_are_refused(name: str, pointer: bytes) -> None:
    """A pointer in circles, ahead, into the header or cut off is FORMERR."""
    wire = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + pointer + b"\x00\x01\x00\x01"
    with pytest.raises(Malformed) as caught:
        message.parse(wire if name != "cut" else wire[:13])
    assert caught.value.reply == b"\xab\xcd\x81\x01" + bytes(8)


def test_a_name_may_point_back() -> None:
    """Compression in what follows the question is followed."""
    question = message.ask(1, "www.example.com", message.A)
    labels, end = message.read_name(question + b"\x03ftp\xc0\x10", len(question))
    assert labels == (b"ftp", b"example", b"com")
    assert end == len(question) + 6


def test_odd_messages_get_what_they_deserve() -> None:
    """Responses and scraps get silence, other operations NOTIMP, no question FORMERR."""
    ask = message.ask(0xABCD, "web", message.A)

    def reply(wire: bytes) -> bytes | None:
        with pytest.raises(Malformed) as caught:
            message.parse(wire)
        return caught.value.reply

    assert reply(b"") is None
    assert reply(ask[:11]) is None
    assert reply(ask[:2] + b"\x81\x80" + ask[4:]) is None
    assert reply(ask[:2] + b"\x29\x00" + ask[4:]) == b"\xab\xcd\xa9\x04" + bytes(8)
    assert reply(ask[:4] + b"\x00\x00" + ask[6:]) == b"\xab\xcd\x81\x01" + bytes(8)
    assert reply(ask[:4] + b"\x00\x02" + ask[6:]) == b"\xab\xcd\x81\x01" + bytes(8)


def test_an_unknown_edns_version_is_named() -> None:
    """A client of EDNS 1 learns that we speak 0 (BADVERS)."""
    ask = dns.message.make_query("web", "A", use_edns=1)
    with pytest.raises(Malformed) as caught:
        message.parse(ask.to_wire())
    assert caught.value.reply is not None
    reply = dns.message.from_wire(caught.value.reply)
    assert (reply.rcode(), reply.edns) == (dns.rcode.BADVERS, 0)


def _query(name: str, type_: str = "A") -> Query:
    return message.parse(dns.message.make_query(name, type_).to_wire())


def test_only_replies_to_the_question_count() -> None:
    """Another name, another type or a query is no reply; another case is a doubtful one."""
    ask = dns.message.make_query("Example.COM", "A", id=7)
    query = message.parse(ask.to_wire()).question
    reply = dns.message.make_response(ask)
    reply.answer = [dns.rrset.from_text("example.com.", 60, "IN", "A", "192.0.2.1")]
    lower = dns.message.make_response(dns.message.make_query("example.com", "A", id=7))

    update = dns.message.make_response(ask)
    update.set_opcode(dns.opcode.UPDATE)

    assert message.matches(reply.to_wire(), query) is True
    assert message.matches(lower.to_wire(), query) is None
    assert message.matches(reply.to_wire(), _query("Example.NET").question) is False
    assert message.matches(reply.to_wire(), _query("Example.COM", "AAAA").question) is False
    assert message.matches(ask.to_wire(), query) is False
    assert message.matches(update.to_wire(), query) is False
    assert message.matches(b"\x00\x07", query) is False


@pytest.mark.parametrize("name", ["a" * 64, "a..b", "", ".".join(["abcdefg"] * 32)])
def test_names_dns_cannot_hold_are_refused(name: str) -> None:
    """Labels over 63 bytes, empty ones and names over 255 bytes are ValueErrors."""
    with pytest.raises(ValueError, match=r"bytes|label"):
        message.name(name)
