"""Bit sequences agree with a set of numbers, and read and write as Docker does."""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.cluster.sequence import (
    MOST_BITS,
    Sequence,
    address,
    decode,
    encode,
    fresh,
    ordinal,
    pack,
    unpack,
)
from fairlead.model.errors import Invalid
from tests.cluster.observed import SEVERAL_NETWORKS, TWO_CONTAINERS, dump


@pytest.mark.parametrize("name", [TWO_CONTAINERS, SEVERAL_NETWORKS])
def test_what_docker_wrote_is_written_again_byte_by_byte(name: str) -> None:
    """Every sequence of a real cluster, addresses and VNIs, comes out as it went in."""
    found = {k: v for k, v in dump(name).items() if "/ipam/default/data/" in k or "/idm/" in k}
    assert len(found) in (2, 5)
    for value in found.values():
        assert encode(json.loads(value)["id"], decode(value)) == value


def test_the_addresses_of_two_containers() -> None:
    """Network, gateway, two containers, broadcast: what the real cluster had taken."""
    key = "docker/network/v1.0/ipam/default/data/GlobalDefault/10.0.0.0/24"
    assert list(decode(dump(TWO_CONTAINERS)[key]).set_bits()) == [0, 1, 2, 3, 255]


@settings(deadline=None)
@given(st.data(), st.integers(1, 300))
def test_it_is_a_set_of_numbers(data: st.DataObject, bits: int) -> None:
    """After any changes it holds what a plain set holds, and survives being written."""
    sequence, naive = Sequence.empty(bits), set[int]()
    for bit, taken in data.draw(
        st.lists(st.tuples(st.integers(0, bits - 1), st.booleans()), max_size=80)
    ):
        sequence = sequence.set(bit) if taken else sequence.unset(bit)
        (naive.add if taken else naive.discard)(bit)
        start = data.draw(st.integers(0, bits + 40))
        end = data.draw(st.none() | st.integers(0, bits + 40))
        last = bits if end is None else min(end, bits)
        assert sequence.first_free(start, end) == next(
            (b for b in range(start, last) if b not in naive), None
        )
    assert list(sequence.set_bits()) == sorted(naive)
    assert sequence.taken == len(naive)
    assert [b for b in range(bits) if sequence.is_set(b)] == sorted(naive)
    assert all(a[0] != b[0] for a, b in zip(sequence.runs, sequence.runs[1:], strict=False))
    assert unpack(pack(sequence)) == sequence


@settings(deadline=None)
@given(st.sets(st.integers(0, 2000)))
def test_full_blocks_are_passed_over(taken: set[int]) -> None:
    """Where nearly all is taken, the free one is still found, from anywhere."""
    sequence = Sequence.empty(2001)
    for bit in range(2001):
        if bit not in taken:
            sequence = sequence.set(bit)
    for start in (0, 31, 32, 33, 1000, 2000):
        assert sequence.first_free(start) == min((b for b in taken if b >= start), default=None)


def test_an_ipv6_pool_is_one_run() -> None:
    """A /64 has more addresses than Docker counts, and still only a few blocks are written."""
    subnet = ip_network("fd00::/64")
    sequence = fresh(subnet).set(1)
    assert sequence.bits == MOST_BITS
    assert len(sequence.runs) == 2
    assert sequence.first_free() == 2
    assert unpack(pack(sequence)) == sequence
    assert address(subnet, 2) == ip_address("fd00::2")
    assert ordinal(subnet, ip_address("fd00::2")) == 2
    assert fresh(ip_network("fd00::/48")).bits == MOST_BITS
    assert sequence.set(MOST_BITS - 1).first_free(MOST_BITS - 1) is None


@pytest.mark.parametrize(
    ("subnet", "outside"),
    [("10.0.0.0/24", "10.0.1.0"), ("10.0.0.0/24", "fd00::1"), ("fd00::/64", "fd00:0:0:1::")],
)
def test_an_address_of_elsewhere_has_no_bit(subnet: str, outside: str) -> None:
    """Docker's words for it."""
    with pytest.raises(Invalid, match="Requested address is out of range"):
        ordinal(ip_network(subnet), ip_address(outside))


def _packed(bits: int, free: int, *runs: tuple[int, int]) -> bytes:
    raw = struct.pack(">QQ", bits, free) + b"".join(struct.pack(">IQ", *run) for run in runs)
    return b64encode(raw)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"!!",
        b"AAAA",
        _packed(256, 256),
        _packed(256, 256, (0, 7)),
        _packed(256, 256, (0, 9)),
        _packed(256, 256, (0, 1 << 60)),
        _packed(256, 256, (0, 8), (0, 1 << 63)),
        _packed(256, 256, (0, 0), (0, 8)),
        _packed(0, 0, (0, 1)),
        _packed(8, 0, (1, 1)),
        _packed(64, 64, *[(n % 2, 1) for n in range(1000)]),
        _packed(256, 256, (0, 8))[:-4],
    ],
)
def test_a_hostile_sequence_is_refused(text: bytes) -> None:
    """Runs that make more or fewer bits than there are, none at all, or no base64."""
    with pytest.raises(Invalid):
        decode(b'{"id":"x","sequence":"' + text + b'"}')


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"sequence":7}', b"{" * 100_000])
def test_a_value_that_is_no_sequence_is_refused(value: bytes) -> None:
    """Neither what is not JSON nor what says something else."""
    with pytest.raises(Invalid):
        decode(value)


def test_a_wrong_count_is_put_right() -> None:
    """Docker counts a bit as freed that was free; it is counted anew when it is written."""
    value = b'{"id":"x","sequence":"' + _packed(64, 99, (1 << 31, 1), (0, 1)) + b'"}'
    assert struct.unpack(">QQ", _raw(encode("x", decode(value)))[:16]) == (64, 63)


def _raw(value: bytes) -> bytes:
    return b64decode(json.loads(value)["sequence"])
