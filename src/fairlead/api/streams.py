"""A client and a program, joined: attach, exec and logs.

::

    client ── stdin ──► session ──► program
    client ◄─ frames ── session ◄── program

Each side ends by itself. The client's half-close becomes the program's end of
input; the program's end ends the connection; and when the client is gone, the
session is closed, which frees everything the engine holds for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fairlead.api.frames import frame

if TYPE_CHECKING:
    from fairlead.engine.session import Session
    from fairlead.http.server import Stream


async def _typing(stream: Stream, session: Session) -> None:
    """What the client types reaches the program, and so does the end of it."""
    while typed := await stream.read():
        await session.write(typed)
    await session.close_stdin()


async def _leaving(stream: Stream, session: Session) -> None:
    """The session does not outlive its client."""
    await stream.gone.wait()
    await session.close()


async def join(stream: Stream, session: Session, *, stdin: bool) -> None:
    """Carry bytes both ways until the program ends, detaches or the client is gone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_leaving(stream, session))]
            if stdin:
                tasks.append(group.create_task(_typing(stream, session)))
            async for source, chunk in session:
                await stream.write(chunk if session.terminal else frame(source, chunk))
            for task in tasks:
                task.cancel()
    finally:
        await session.close()


async def framed(
    lines: AsyncIterator[tuple[int, bytes]], *, terminal: bool
) -> AsyncIterator[bytes]:
    """Output of two streams as the bytes of one."""
    try:
        async for source, chunk in lines:
            yield chunk if terminal else frame(source, chunk)
    finally:
        aclose = getattr(lines, "aclose", None)
        if aclose is not None:
            await aclose()
