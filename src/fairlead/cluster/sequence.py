"""Bit sequences: which addresses of a pool, which VNIs are taken, as Docker stores them.

A value is JSON ``{"id": …, "sequence": …}``; the sequence is base64 of big-endian numbers::

    8 bytes   how many bits there are
    8 bytes   how many of them are free
    then runs, 12 bytes each:
      4 bytes   a block of 32 bits, the first bit highest
      8 bytes   how often the block follows on itself

Bit n is the n-th address of the pool. Nothing is ever unrolled: the pool of an IPv6 /64 is
one run of 2**59 empty blocks, and a value that claims more blocks than it has bits is refused.
"""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from fairlead.cluster.text import MOST_BYTES, decoded, encoded, text_of
from fairlead.model.errors import Invalid
from fairlead.model.state import IPAddress, IPNetwork

BLOCK = 32
FULL = (1 << BLOCK) - 1
MOST_BITS = (1 << 64) - 1
"""Docker counts bits in 64: of an IPv6 pool larger than that it uses the first so many."""

_HEAD = struct.Struct(">QQ")
_RUN = struct.Struct(">IQ")

Run = tuple[int, int]
"""A block and how often it comes."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """So many bits, each set (taken) or not. Runs next to each other differ."""

    bits: int
    runs: tuple[Run, ...]

    @classmethod
    def empty(cls, bits: int) -> Sequence:
        """Bits that are all free."""
        if not 0 < bits <= MOST_BITS:
            raise Invalid(f"a sequence cannot have {bits} bits")
        return cls(bits, ((0, -(-bits // BLOCK)),))

    @property
    def taken(self) -> int:
        """How many bits are set."""
        return sum(block.bit_count() * times for block, times in self.runs)

    def is_set(self, bit: int) -> bool:
        """Whether a bit is taken; what is beyond the end is not."""
        for block, start, end in self._spans():
            if start <= bit < end:
                return bool(block & _mask(bit))
        return False

    def set(self, bit: int) -> Sequence:
        """With a bit taken."""
        return self._with(bit, taken=True)

    def unset(self, bit: int) -> Sequence:
        """With a bit free."""
        return self._with(bit, taken=False)

    def first_free(self, start: int = 0, end: int | None = None) -> int | None:
        """The lowest free bit from `start` on, before `end`; None when all are taken."""
        last = self.bits if end is None else min(end, self.bits)
        start = max(start, 0)
        for block, first, after in self._spans():
            if after <= start or block == FULL:
                continue
            if first >= last:
                break
            found = _free_in(block, first, after, start)
            if found is not None:
                return found if found < last else None
        return None

    def set_bits(self) -> Iterator[int]:
        """Every bit that is taken, in order."""
        for block, start, end in self._spans():
            if block:
                for at in range(start, end, BLOCK):
                    yield from (at + n for n in range(BLOCK) if block & _mask(n))

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """Each run's block, its first bit, and the first bit after it."""
        start = 0
        for block, times in self.runs:
            end = start + times * BLOCK
            yield block, start, end
            start = end

    def _with(self, bit: int, *, taken: bool) -> Sequence:
        if not 0 <= bit < self.bits:
            raise Invalid("bit does not belong to the sequence")
        runs: list[Run] = []
        start = 0
        for block, times in self.runs:
            end = start + times * BLOCK
            if start <= bit < end:
                other = block | _mask(bit) if taken else block & ~_mask(bit)
                before = (bit - start) // BLOCK
                _add(runs, block, before)
                _add(runs, other, 1)
                _add(runs, block, times - before - 1)
            else:
                _add(runs, block, times)
            start = end
        return Sequence(self.bits, tuple(runs))


def decode(value: bytes) -> Sequence:
    """A sequence as it lies in the store. Raises Invalid with what is wrong about it."""
    fields = decoded(value, MOST_BYTES)
    return unpack(text_of(fields, "sequence", MOST_BYTES))


def encode(name: str, sequence: Sequence) -> bytes:
    """A sequence as it lies in the store; `name` is the pool's id or ``vxlan-id``."""
    return encoded({"id": name, "sequence": pack(sequence)})


def unpack(text: str) -> Sequence:
    """Base64 as a sequence. The count of free bits is not believed: Docker may be off."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("the sequence is not base64") from error
    length = len(raw) - _HEAD.size
    if length < _RUN.size or length % _RUN.size:
        raise Invalid(f"a sequence cannot be {len(raw)} bytes long")
    bits, _free = _HEAD.unpack_from(raw)
    blocks = -(-bits // BLOCK)
    runs: list[Run] = []
    left = blocks
    for block, times in _RUN.iter_unpack(raw[_HEAD.size :]):
        if not 0 < times <= left:
            raise Invalid(f"the sequence has runs that do not make {bits} bits")
        left -= times
        _add(runs, block, times)
    if left or not bits:
        raise Invalid(f"the sequence has runs that do not make {bits} bits")
    if runs[-1][0] & (FULL >> (bits - (blocks - 1) * BLOCK)):
        raise Invalid(f"the sequence has bits set beyond its {bits}")
    return Sequence(bits, tuple(runs))


def pack(sequence: Sequence) -> str:
    """A sequence as base64, with the true count of what is free."""
    head = _HEAD.pack(sequence.bits, sequence.bits - sequence.taken)
    return b64encode(head + b"".join(_RUN.pack(*run) for run in sequence.runs)).decode()


def fresh(subnet: IPNetwork) -> Sequence:
    """The addresses of a new pool: the first is nobody's, nor is the last of IPv4."""
    bits = size(subnet)
    found = Sequence.empty(bits).set(0)
    return found.set(bits - 1) if subnet.version == 4 else found


def size(subnet: IPNetwork) -> int:
    """How many bits the addresses of a pool take."""
    return min(subnet.num_addresses, MOST_BITS)


def ordinal(subnet: IPNetwork, address: IPAddress) -> int:
    """An address's bit. Raises Invalid when it has none."""
    bit = int(address) - int(subnet.network_address)
    if address.version != subnet.version or not 0 <= bit < size(subnet):
        raise Invalid("Requested address is out of range", hint=f"{address} is not in {subnet}")
    return bit


def address(subnet: IPNetwork, bit: int) -> IPAddress:
    """The address of a bit."""
    number = int(subnet.network_address) + bit
    return ip_address(number.to_bytes(subnet.max_prefixlen // 8))


def _mask(bit: int) -> int:
    return 1 << (BLOCK - 1 - bit % BLOCK)


def _add(runs: list[Run], block: int, times: int) -> None:
    if not times:
        return
    if runs and runs[-1][0] == block:
        runs[-1] = (block, runs[-1][1] + times)
    else:
        runs.append((block, times))


def _free_in(block: int, first: int, after: int, start: int) -> int | None:
    """The lowest free bit of a run from `start` on; the block is not full."""
    lowest = BLOCK - (~block & FULL).bit_length()
    if start <= first:
        return first + lowest
    base = first + (start - first) // BLOCK * BLOCK
    free = ~block & (FULL >> (start - base))
    if free:
        return base + BLOCK - free.bit_length()
    return base + BLOCK + lowest if base + BLOCK < after else None
