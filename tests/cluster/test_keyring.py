"""The keyring: generations turn, hosts come and go, and what lies in the store is looked at."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cluster import keyring
from fairlead.cluster.derive import expand, extract
from fairlead.model.errors import Conflict, Invalid

SECRETS = (b"a" * 32, b"b" * 32, b"c" * 32)
A, B, C = (ip_address(f"192.0.2.{n}") for n in (1, 2, 3))
HOUR = 3600


def birth(number: int) -> bytes:
    return number.to_bytes(16)


def test_derivation_is_that_of_the_rfc() -> None:
    """RFC 5869, appendix A: the first case, and the third, without salt and info."""
    key = extract(bytes(range(13)), b"\x0b" * 22)
    assert expand(key, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert expand(extract(b"", b"\x0b" * 22), b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_a_turn_drops_the_oldest_and_adds_the_newest() -> None:
    """What is sent with next was known before."""
    ring = keyring.first(0, SECRETS)
    later = keyring.turned(ring, 50, b"d" * 32)
    assert later.secrets == (*SECRETS[1:], b"d" * 32)
    assert (later.generation, later.since) == (ring.generation + 1, 50)


def test_when_it_is_time() -> None:
    """By the date, or by how long this host knows; but never twice in short time."""
    ring = keyring.first(1_000_000, SECRETS)
    assert not keyring.due(ring, 1_000_000 + 11 * HOUR, 11 * HOUR)
    assert keyring.due(ring, 1_000_000 + 12 * HOUR, HOUR)
    # Turned by somebody whose date is next year.
    assert not keyring.due(ring, 0, 11 * HOUR)
    assert keyring.due(ring, 0, 12 * HOUR)
    # This host's own date is next year: it waits at least.
    assert not keyring.due(ring, 10**9, 5)


def test_members_have_numbers_of_their_own() -> None:
    """A host that is born again keeps its number; one that left gives it free."""
    ring = keyring.first(0, SECRETS)
    for host in (A, B, C):
        ring = keyring.joined(ring, host, birth(1))
    assert sorted(m.number for m in ring.members.values()) == [1, 2, 3]
    again = keyring.joined(ring, B, birth(2))
    assert (again.members[B].number, again.members[B].birth) == (ring.members[B].number, birth(2))
    fewer = keyring.joined(keyring.left(ring, A), ip_address("192.0.2.9"), birth(1))
    assert sorted(m.number for m in fewer.members.values()) == [1, 2, 3]
    assert A not in fewer.members


@given(
    st.sets(st.ip_addresses(network="198.51.100.0/24") | st.ip_addresses(network="2001:db8::/32")),
    st.integers(min_value=0, max_value=2**40),
    st.booleans(),
)
def test_the_store_gives_back_what_was_put(hosts: set[IPv4Address], now: int, file: bool) -> None:
    """Secrets that come of a file are not in the store, and come of it again."""
    secret = b"0123456789abcdef0123456789abcdef"
    ring = keyring.first_of_file(now, secret) if file else keyring.first(now, SECRETS)
    for host in hosts:
        ring = keyring.joined(ring, host, birth(7))
    value = keyring.encode(ring)
    found = keyring.decode(value)
    assert (keyring.opened(found, secret) if file else found) == ring
    if file:
        assert found.secrets == ()
        assert "secrets" not in repr(ring)
        assert secret not in value


def test_another_file_is_told() -> None:
    """A host with another key must not be silently deaf; nor one without."""
    ring = keyring.first_of_file(0, b"x" * 32)
    with pytest.raises(Conflict, match="another key"):
        keyring.opened(keyring.decode(keyring.encode(ring)), b"y" * 32)
    with pytest.raises(Conflict, match="another key"):
        keyring.opened(keyring.first(0, SECRETS), b"x" * 32)
    turned = keyring.turned(ring, 5, b"x" * 32)
    assert turned.secrets[:2] == ring.secrets[1:]
    assert turned.secrets[2] not in ring.secrets


def test_a_file_that_holds_too_little() -> None:
    """A key of a few letters can be guessed."""
    assert keyring.secret_of(b"  " + b"k" * 64 + b"\n") == b"k" * 64
    with pytest.raises(Invalid, match="fewer than 32"):
        keyring.secret_of(b"secret\n")


SOUND = json.loads(keyring.encode(keyring.joined(keyring.first(0, SECRETS), A, birth(1))))
HOST = SOUND["hosts"]["192.0.2.1"]
UNSOUND = {
    "no object": [],
    "no generation": {k: v for k, v in SOUND.items() if k != "generation"},
    "generation 0": {**SOUND, "generation": 0},
    "endless generation": {**SOUND, "generation": 2**63},
    "two secrets": {**SOUND, "secrets": SOUND["secrets"][:2]},
    "one secret twice": {**SOUND, "secrets": [SOUND["secrets"][0]] * 3},
    "short secrets": {**SOUND, "secrets": ["YQ==", "Yg==", "Yw=="]},
    "no secret": {**SOUND, "secrets": ["!", "?", "*"]},
    "secrets beside a file": {**SOUND, "origin": "00"},
    "no address": {**SOUND, "hosts": {"here": HOST}},
    "nobody's address": {**SOUND, "hosts": {"127.0.0.1": HOST}},
    "no number": {**SOUND, "hosts": {"192.0.2.1": {**HOST, "number": 0}}},
    "a short birth": {**SOUND, "hosts": {"192.0.2.1": {**HOST, "birth": "00"}}},
    "one number twice": {**SOUND, "hosts": {"192.0.2.1": HOST, "192.0.2.2": HOST}},
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_unsound_is_refused(name: str) -> None:
    """With one line that does not quote a secret."""
    with pytest.raises(Invalid) as caught:
        keyring.decode(json.dumps(UNSOUND[name]).encode())
    assert SOUND["secrets"][0] not in caught.value.message
    assert "\n" not in caught.value.message


@given(st.binary(max_size=200))
def test_noise_is_refused(value: bytes) -> None:
    """Anything may lie there."""
    with pytest.raises(Invalid):
        keyring.decode(value)
