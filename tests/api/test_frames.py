"""Streams are framed as clients take them apart, and typed as clients expect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.api.frames import content_type, frame
from fairlead.api.versions import NEWEST, Version


def taken_apart(data: bytes) -> list[tuple[int, bytes]]:
    """What a client reads out of a framed stream."""
    found = []
    while data:
        length = int.from_bytes(data[4:8], "big")
        found.append((data[0], data[8 : 8 + length]))
        data = data[8 + length :]
    return found


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=20))
def test_frames_come_apart_again(said: list[tuple[int, bytes]]) -> None:
    """Whatever a program says arrives in order, each stream by itself."""
    assert taken_apart(b"".join(frame(*each) for each in said)) == said


def test_the_content_type_tells_frames_from_raw_bytes() -> None:
    """Only clients that know the word hear it."""
    assert content_type(NEWEST, terminal=False) == "application/vnd.docker.multiplexed-stream"
    assert content_type(NEWEST, terminal=True) == "application/vnd.docker.raw-stream"
    assert content_type(Version(1, 41), terminal=False) == "application/vnd.docker.raw-stream"
