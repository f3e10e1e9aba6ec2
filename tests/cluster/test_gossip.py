"""What hosts say to each other, as Docker 20.10 was seen to write it; anything else is refused."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cluster.gossip import (
    BadWords,
    Found,
    PeerEvent,
    Question,
    answer_words,
    event_words,
    question_words,
    read_answer,
    read_event,
    read_question,
)

# From packets between two Docker 20.10 hosts.
NETWORK = "0ee20e462259db36cfefbf631c35101c5b5f2c9ddb5931bc1f11d552681ec36c"
ENDPOINT = "65fde2ccccab95ca5db2c7a8d748d22066bd061f3de83aaa7a0de4c8f1241aa0"
NAME = f"jl 192.0.2.12 {NETWORK} {ENDPOINT}"
JOIN = b"join 10.0.0.4 255.255.255.0 02:42:0a:00:00:04"
LEAVE = b"leave 10.0.0.4 255.255.255.0 02:42:0a:00:00:04"

EVENT = PeerEvent(
    True,
    IPv4Address("192.0.2.12"),
    NETWORK,
    ENDPOINT,
    IPv4Interface("10.0.0.4/24"),
    "02:42:0a:00:00:04",
)

IDS = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
MACS = st.binary(min_size=5, max_size=5).map(lambda rest: (b"\x02" + rest).hex(":"))
HOSTS = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/8"), st.ip_addresses(v=6, network="2001:db8::/32")
)
INTERFACES = st.one_of(
    st.tuples(HOSTS, st.integers(1, 32)).map(ip_interface),
)
EVENTS = st.builds(PeerEvent, st.booleans(), HOSTS, IDS, IDS, INTERFACES, MACS)


def test_an_event_is_as_docker_writes_it() -> None:
    """Observed words are read, and said again letter by letter."""
    assert read_event(NAME, JOIN) == EVENT
    assert not read_event(NAME, LEAVE).joined
    assert event_words(EVENT) == (NAME, JOIN)
    assert event_words(read_event(NAME, LEAVE)) == (NAME, LEAVE)


def test_a_query_and_its_answer_are_as_docker_writes_them() -> None:
    """`peerlookup` and what a Docker 20.10 host answered to it."""
    question = Question(NETWORK, IPv4Address("10.0.0.2"))
    answer = b"02:42:0a:00:00:02 255.255.255.0 192.0.2.2"
    found = Found("02:42:0a:00:00:02", IPv4Interface("10.0.0.2/24"), IPv4Address("192.0.2.2"))
    assert question_words(question) == f"{NETWORK} 10.0.0.2".encode()
    assert read_question(question_words(question)) == question
    assert read_answer(answer, question) == found
    assert answer_words(found) == answer


@given(EVENTS)
def test_what_is_said_is_understood(event: PeerEvent) -> None:
    """IPv4 and IPv6 alike, on any subnet."""
    assert read_event(*event_words(event)) == event


@given(st.text(max_size=300), st.binary(max_size=300))
def test_noise_is_refused(name: str, payload: bytes) -> None:
    """Whatever is no event raises BadWords, and nothing else."""
    with pytest.raises(BadWords):
        read_event(name, payload)
    with pytest.raises(BadWords):
        read_event(NAME, payload)
    with pytest.raises(BadWords):
        read_event(name, JOIN)


@pytest.mark.parametrize(
    ("name", "payload", "why"),
    [
        (NAME + " more", JOIN, "5 words for 4"),
        (NAME.replace(" ", "\t"), JOIN, "1 words for 4"),
        (NAME.replace("jl", "jk"), JOIN, "an event named"),
        (NAME.upper().replace("JL", "jl"), JOIN, "not an id"),
        (f"jl 192.0.2.12 ../../etc {ENDPOINT}", JOIN, "not an id"),
        (f"jl 192.0.2.12 {NETWORK[:-1]} {ENDPOINT}", JOIN, "not an id"),
        (f"jl 192.0.2.12 {NETWORK} {ENDPOINT}\n", JOIN, "not an id"),
        (f"jl 192.0.2.012 {NETWORK} {ENDPOINT}", JOIN, "not an address"),
        (f"jl host {NETWORK} {ENDPOINT}", JOIN, "not an address"),
        (f"jl 0.0.0.0 {NETWORK} {ENDPOINT}", JOIN, "no machine"),
        (f"jl 127.0.0.1 {NETWORK} {ENDPOINT}", JOIN, "no machine"),
        (f"jl 239.1.2.3 {NETWORK} {ENDPOINT}", JOIN, "no machine"),
        (f"jl 255.255.255.255 {NETWORK} {ENDPOINT}", JOIN, "no machine"),
        (f"jl ::ffff:192.0.2.12 {NETWORK} {ENDPOINT}", JOIN, "not a plain address"),
        (f"jl fe80::1%eth0 {NETWORK} {ENDPOINT}", JOIN, "not a plain address"),
        (NAME, b"move 10.0.0.4 255.255.255.0 02:42:0a:00:00:04", "neither join nor leave"),
        (NAME, b"join 10.0.0.4 0.0.0.255 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join 10.0.0.4 255.0.255.0 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join 10.0.0.4 0.0.0.0 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join 10.0.0.4 24 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join 10.0.0.4 ffff:: 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join 10.0.0.4 <nil> 02:42:0a:00:00:04", "not a mask"),
        (NAME, b"join <nil> 255.255.255.0 02:42:0a:00:00:04", "not an address"),
        (NAME, b"join 10.0.0.4 255.255.255.0 ", "not a MAC"),
        (NAME, b"join 10.0.0.4 255.255.255.0 02:42:0a:00:00", "not a MAC"),
        (NAME, b"join 10.0.0.4 255.255.255.0 02-42-0a-00-00-04", "not a MAC"),
        (NAME, b"join 10.0.0.4 255.255.255.0 00:00:00:00:00:00", "not a MAC"),
        (NAME, b"join 10.0.0.4 255.255.255.0 ff:ff:ff:ff:ff:ff", "of a group"),
        (NAME, b"join 10.0.0.4 255.255.255.0 33:33:00:00:00:01", "of a group"),
        (NAME, b"join  10.0.0.4 255.255.255.0 02:42:0a:00:00:04", "5 words for 4"),
        (NAME, JOIN + b"\0", "not a MAC"),
        (NAME, b"\xffoin 10.0.0.4 255.255.255.0 02:42:0a:00:00:04", "not plain text"),
        (NAME, b"join " * 1_000_000, "more than 512 letters"),
    ],
)
def test_a_bad_event_is_named(name: str, payload: bytes, why: str) -> None:
    """What is wrong is said on one short line, with nothing that a terminal would obey."""
    with pytest.raises(BadWords, match=why) as refused:
        read_event(name, payload)
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "payload", [b"", b"x", NETWORK.encode(), f"{NETWORK} ".encode(), f"{NETWORK} ::".encode()]
)
def test_a_bad_question_is_refused(payload: bytes) -> None:
    """A query may come from anybody as well."""
    with pytest.raises(BadWords):
        read_question(payload)


@pytest.mark.parametrize(
    "payload",
    [b"", b"02:42:0a:00:00:02 255.255.255.0", b"ff:ff:ff:ff:ff:ff 255.255.255.0 192.0.2.2"],
)
def test_a_bad_answer_is_refused(payload: bytes) -> None:
    """And so may an answer."""
    with pytest.raises(BadWords):
        read_answer(payload, Question(NETWORK, ip_address("10.0.0.2")))
