"""How many are on a network, as Docker counts them: ``{"Count": 2}``."""

from __future__ import annotations

from fairlead.cluster.text import decoded, encoded, number_of

MOST = (1 << 63) - 1


def encode_count(users: int) -> bytes:
    """A count as it is written."""
    return encoded({"Count": users})


def decode_count(value: bytes) -> int:
    """What a count says. Raises Invalid when it says nothing."""
    return number_of(decoded(value), "Count", MOST)
