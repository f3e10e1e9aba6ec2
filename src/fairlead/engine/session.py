"""Sessions: a client's hold on the streams of a container or an exec.

A session may be older than the program: `docker run` attaches first and starts
then, so that not a byte is lost. Until the streams exist, reading and writing
wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from fairlead.engine.detach import Detacher

Frame = tuple[int, bytes]
EXIT_CODE_S = 2.0


class Streams(Protocol):
    """What a session is connected to; the runtime's attachments are."""

    async def read(self) -> Frame | None: ...
    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def close(self) -> None: ...


class Session:
    """One client. Iterate for output; always `close` it."""

    def __init__(
        self,
        *,
        terminal: bool,
        stdin: bool = False,
        outputs: frozenset[int] = frozenset({1, 2}),
        replay: AsyncIterator[Frame] | None = None,
        detacher: Detacher | None = None,
        closed: Callable[[Session], None] = lambda session: None,
        ended: asyncio.Event | None = None,
    ) -> None:
        self.terminal = terminal
        self._stdin = stdin
        self._outputs = outputs
        self._replay = replay
        self._detacher = detacher
        self._on_close = closed
        self._ended = ended
        self._streams: asyncio.Future[Streams | None] = asyncio.get_running_loop().create_future()
        self._closed = False
        self.detached = False

    def connect(self, streams: Streams) -> bool:
        """The program is there; False when nobody wants its streams any more."""
        if self._streams.done():
            return False
        self._streams.set_result(streams)
        return True

    def end(self) -> None:
        """There will be no program (any more) to connect to."""
        if not self._streams.done():
            self._streams.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """Read what was logged before, if asked for, then what the program writes, to its end."""
        if self._replay is not None:
            async for frame in self._replay:
                yield frame
        streams = await asyncio.shield(self._streams)
        if streams is None:
            return
        while not self._closed and (found := await streams.read()) is not None:
            if found[0] in self._outputs:
                yield found
        if not self._closed:
            await self._exit_code()

    async def _exit_code(self) -> None:
        """Let the exit code be known before the client asks for it.

        A program may also close its output and go on: nobody waits long for that.
        """
        if self._ended is None:
            return
        try:
            async with asyncio.timeout(EXIT_CODE_S):
                await self._ended.wait()
        except TimeoutError:
            return

    async def write(self, data: bytes) -> None:
        """Send input, once the program is there; none is wanted without stdin."""
        if not self._stdin or self._closed:
            return
        if self._detacher is not None:
            data = self._detacher.feed(data)
        streams = await asyncio.shield(self._streams)
        if streams is not None and data:
            await streams.write(data)
        if self._detacher is not None and self._detacher.detached:
            self.detached = True
            await self.close()

    async def close_stdin(self) -> None:
        """Say that no more input comes."""
        if not self._stdin or self._closed:
            return
        streams = await asyncio.shield(self._streams)
        if streams is not None:
            await streams.close_stdin()

    async def close(self) -> None:
        """Let go of the streams; the program goes on."""
        if self._closed:
            return
        self._closed = True
        self.end()
        streams = self._streams.result()
        if streams is not None:
            await streams.close()
        self._on_close(self)
