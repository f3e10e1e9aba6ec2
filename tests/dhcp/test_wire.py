"""DHCP on the wire: what is written is read again, and nothing that comes breaks the reader.

What other programs make of it is seen in `tests/underlay/test_dhcp.py`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dhcp import client as states
from fairlead.dhcp import terms
from fairlead.dhcp.frame import unwrap, wrap
from fairlead.dhcp.message import (
    HEADER,
    MASK,
    OVERLOAD,
    ROUTER,
    Kind,
    Malformed,
    Message,
    build,
    parse,
)

SERVER = (bytes.fromhex("020000000001"), IPv4Address("192.0.2.2"))
MAC = bytes.fromhex("0242c0000264")

numbers = st.integers(0, 0xFFFFFFFF)
addresses = numbers.map(IPv4Address)
codes = st.integers(1, 254).filter(lambda code: code not in (OVERLOAD, 53))
messages = st.builds(
    Message,
    kind=st.sampled_from(Kind),
    xid=numbers,
    mac=st.binary(min_size=6, max_size=6),
    answers=st.booleans(),
    secs=st.integers(0, 0xFFFF),
    broadcast=st.booleans(),
    client=addresses,
    yours=addresses,
    options=st.dictionaries(codes, st.binary(max_size=600), max_size=5),
)


@given(messages)
def test_what_is_written_is_read(message: Message) -> None:
    """Options over 255 bytes in pieces, too."""
    assert parse(build(message)) == message


@given(st.binary(max_size=700), st.binary(max_size=300))
def test_nothing_breaks_the_reader(noise: bytes, options: bytes) -> None:
    """Whatever comes is a message or malformed; what a client then makes of it, likewise."""
    wire = build(Message(Kind.ACK, 7, MAC, answers=True))
    client = states.begun(states.Identity(MAC), 0.0, lambda: 0.5)
    for came in (noise, wire[: HEADER.size] + options, wire[:3] + noise):
        with suppress(Malformed):
            message = parse(came)
            states.hear(client, message, MAC, 0.0, lambda: 0.5)
        with suppress(Malformed):
            terms.granted(parse(came), MAC, 0.0)


@given(st.binary(max_size=400))
def test_nothing_breaks_the_frame(noise: bytes) -> None:
    """Neither noise nor a datagram that is cut or changed anywhere."""
    frame = wrap(noise, (MAC, IPv4Address(0)), SERVER)
    turned = frame[:36] + b"\x00\x44" + frame[38:]
    assert unwrap(turned).payload == noise
    for came in (noise, turned[: len(noise)], noise + turned[len(noise) :]):
        with suppress(Malformed):
            unwrap(came)


def test_a_frame_is_what_a_network_card_takes() -> None:
    """Checksums over it all are zero, and the padding that a card adds is no part of it."""
    frame = wrap(b"odd", (MAC, IPv4Address("192.0.2.9")), SERVER)
    words = [int.from_bytes(frame[i : i + 2]) for i in range(14, 34, 2)]
    assert sum(words) % 0xFFFF == 0
    pseudo = frame[26:34] + bytes((0, 17)) + frame[38:40]
    said = pseudo + frame[34:] + b"\0"
    assert sum(int.from_bytes(said[i : i + 2]) for i in range(0, len(said), 2)) % 0xFFFF == 0
    turned = frame[:36] + b"\x00\x44" + frame[38:] + bytes(13)
    came = unwrap(turned)
    assert (came.payload, came.mac, came.address) == (b"odd", MAC, IPv4Address("192.0.2.9"))


@pytest.mark.parametrize(
    "change",
    [
        (12, b"\x86\xdd"),
        (14, b"\x44"),
        (16, b"\xff\xff"),
        (20, b"\x20\x00"),
        (23, b"\x06"),
        (24, b"\x00\x00"),
        (36, b"\x00\x43"),
        (38, b"\x00\x04"),
    ],
)
def test_packets_that_are_for_nobody_here(change: tuple[int, bytes]) -> None:
    """Of IPv6, cut, a fragment, of TCP, broken, for a server."""
    frame = bytearray(wrap(b"body", (MAC, IPv4Address(0)), SERVER))
    frame[36:38] = b"\x00\x44"
    assert unwrap(bytes(frame)).payload == b"body"
    at, new = change
    frame[at : at + len(new)] = new
    with pytest.raises(Malformed):
        unwrap(bytes(frame))


def test_options_go_on_where_names_would_be() -> None:
    """Option 52: in the field of a file, then of a server's name; one in pieces is one."""
    message = Message(Kind.ACK, 7, MAC, answers=True, options={ROUTER: b"\xc0\x00"})
    wire = bytearray(build(message))
    end = wire.index(b"\xff", HEADER.size)
    wire[end : end + 4] = bytes((OVERLOAD, 1, 3, 255))
    wire[108:114] = bytes((ROUTER, 1, 2, 255, 0, 0))
    wire[44:51] = bytes((ROUTER, 1, 9, 0, MASK, 1, 5))
    read = parse(bytes(wire))
    assert dict(read.options) == {ROUTER: b"\xc0\x00\x02\x09", MASK: b"\x05"}
    assert read.addresses(ROUTER) == (IPv4Address("192.0.2.9"),)
    with pytest.raises(Malformed):
        read.addresses(MASK)


@pytest.mark.parametrize(
    "broken",
    [
        lambda w: w[:239],
        lambda w: b"\x03" + w[1:],
        lambda w: w[:1] + b"\x06" + w[2:],
        lambda w: w[:2] + b"\x08" + w[3:],
        lambda w: w[:236] + b"\x63\x82\x53\x64" + w[240:],
        lambda w: w[:240] + b"\x35\x02\x05\x05\xff",
        lambda w: w[:240] + b"\x35\x01\x09\xff",
        lambda w: w[:240] + b"\xff",
        lambda w: w[:243] + b"\x01\x04\xff\xff",
        lambda w: w[:243] + b"\x34\x01\x04\xff",
        lambda w: w[:243] + b"\x01",
        lambda w: w + bytes(5000),
    ],
)
def test_what_is_no_message(broken: object) -> None:
    """Too short, of another kind, with options that run out."""
    wire = build(Message(Kind.ACK, 7, MAC, answers=True))
    assert callable(broken)
    with pytest.raises(Malformed):
        parse(broken(wire))
    assert parse(wire) == replace(parse(wire), xid=7)
