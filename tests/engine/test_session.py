"""Sessions and the keys that leave them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fairlead.engine import detach
from fairlead.engine.detach import Detacher
from fairlead.engine.session import Frame, Session
from fairlead.model.errors import Invalid


class Streams:
    """A program that prints what it is given."""

    def __init__(self, *frames: Frame) -> None:
        self.frames = list(frames)
        self.written = b""
        self.stdin_closed = False
        self.closed = asyncio.Event()

    async def read(self) -> Frame | None:
        if self.frames:
            return self.frames.pop(0)
        await self.closed.wait()
        return None

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close_stdin(self) -> None:
        self.stdin_closed = True

    async def close(self) -> None:
        self.closed.set()


async def test_input_waits_for_the_program() -> None:
    """`docker run -i` may send before the container runs; nothing is lost."""
    session = Session(terminal=False, stdin=True)
    writing = asyncio.ensure_future(session.write(b"early"))
    await asyncio.sleep(0)
    streams = Streams()

    assert session.connect(streams)
    await writing
    await session.close_stdin()

    assert (streams.written, streams.stdin_closed) == (b"early", True)
    await session.close()
    assert streams.closed.is_set()


async def test_only_the_wanted_streams_are_read() -> None:
    """`docker attach` without stderr shows none of it."""
    session = Session(terminal=False, outputs=frozenset({1}))
    session.connect(Streams((1, b"out"), (2, b"err"), (1, b"more")))
    frames = aiter(session)

    assert [await anext(frames), await anext(frames)] == [(1, b"out"), (1, b"more")]


async def test_what_was_logged_comes_first() -> None:
    """attach with logs=1 replays, then goes on."""

    async def replay() -> AsyncIterator[Frame]:
        yield 1, b"before"

    session = Session(terminal=False, replay=replay())
    session.connect(Streams((1, b"now")))
    frames = aiter(session)

    assert [await anext(frames), await anext(frames)] == [(1, b"before"), (1, b"now")]


async def test_without_a_program_a_session_just_ends() -> None:
    """A container that did not start has nothing to say."""
    session = Session(terminal=False, stdin=True)
    session.end()

    assert [frame async for frame in session] == []
    await session.write(b"nobody")
    assert not session.connect(Streams())


async def test_without_stdin_nothing_is_written() -> None:
    """Output only."""
    session, streams = Session(terminal=False), Streams()
    session.connect(streams)

    await session.write(b"x")
    await session.close_stdin()

    assert (streams.written, streams.stdin_closed) == (b"", False)


async def test_detach_keys_end_the_session_and_not_the_program() -> None:
    """ctrl-p ctrl-q leaves; what came before still arrives."""
    session = Session(terminal=True, stdin=True, detacher=Detacher())
    streams = Streams()
    session.connect(streams)

    await session.write(b"ls\x10")
    await session.write(b"\x11rm")

    assert streams.written == b"ls"
    assert session.detached
    assert [frame async for frame in session] == []


def test_half_of_the_keys_is_input_after_all() -> None:
    """Typing ctrl-p for itself works, one key late."""
    detacher = Detacher()

    assert detacher.feed(b"\x10") == b""
    assert detacher.feed(b"\x10") == b"\x10"
    assert detacher.feed(b"a") == b"\x10a"
    assert not detacher.detached


def test_keys_by_name() -> None:
    """As --detach-keys writes them."""
    assert detach.keys("") == b"\x10\x11"
    assert detach.keys("ctrl-a,x,ctrl-[") == b"\x01x\x1b"
    with pytest.raises(Invalid, match=r"Invalid detach keys \(ctrl-aa\) provided"):
        detach.keys("ctrl-aa")
