"""Attributes of netlink messages: none is ever longer than its length can say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.kernel.netlink import attribute, attributes, nest, text

KINDS = st.integers(1, 0x3FFF)
MOST = 0xFFFF - 4


@given(st.dictionaries(KINDS, st.binary(max_size=300), max_size=8))
def test_what_is_written_is_read(given: dict[int, bytes]) -> None:
    """Whatever the values are, nothing of one becomes part of another."""
    raw = b"".join(attribute(kind, value) for kind, value in given.items())
    assert attributes(raw) == given


@given(KINDS, st.integers(0, 200_000))
def test_a_value_that_is_too_long_is_refused(kind: int, size: int) -> None:
    """Its length would wrap, and its end be read as attributes of its own."""
    if size > MOST:
        with pytest.raises(ValueError, match="netlink attribute"):
            attribute(kind, b"x" * size)
    else:
        assert attributes(attribute(kind, b"x" * size)) == {kind: b"x" * size}


@given(KINDS, st.lists(st.integers(0, MOST), max_size=6))
def test_what_is_nested_counts(kind: int, sizes: list[int]) -> None:
    """An attribute of attributes is as long as they are together."""
    inner = [attribute(1, b"x" * size) for size in sizes]
    if sum(map(len, inner)) > MOST:
        with pytest.raises(ValueError, match="netlink attribute"):
            nest(kind, *inner)
    else:
        assert attributes(nest(kind, *inner)) == {kind: b"".join(inner)}


@given(st.text(max_size=50))
def test_a_string_ends_where_it_ends(value: str) -> None:
    """A NUL in it would hide the rest from whoever looks at the name."""
    if "\0" in value:
        with pytest.raises(ValueError, match="NUL"):
            text(1, value)
    else:
        assert attributes(text(1, value)) == {1: value.encode() + b"\0"}


def test_a_long_string_is_refused() -> None:
    """By its bytes, not by its characters."""
    with pytest.raises(ValueError, match="netlink attribute"):
        text(1, "é" * 33_000)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """What the kernel, or somebody in its name, sends never reads beyond itself."""
    for value in attributes(data).values():
        assert value in data
