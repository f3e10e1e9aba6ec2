"""TLS in front of a server: what comes over the network decrypted, passed on inside, and back.

asyncio's own TLS cannot end one direction of a connection and keep the other,
and that is how `docker run` and `docker exec` say that there is no more input.
So each connection becomes two: TLS on the network's side, and a pair of unix
sockets inside, of which the server gets one as if the client had come by it.

Rule: an end is passed on as an end, in its direction only; a loss ends both.

=========================  =========================
network                    inside
=========================  =========================
close_notify, or FIN    →  end of input
close_notify, then FIN  ←  end of output
reset, no handshake     →  close
=========================  =========================
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

from fairlead.http.hangup import keep_alive

CHUNK_BYTES = 65536
HANDSHAKE_SECONDS = 30.0

Inside = Callable[[socket.socket], Awaitable[None]]
"""Serves a connected socket."""


class Session:
    """The TLS of one connection: bytes in, bytes out, no sockets."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def received(self, data: bytes) -> None:
        """Take what the network gave; nothing is its end."""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def to_send(self) -> bytes:
        """What the network should get."""
        return self._out.read()

    def greeted(self) -> bool:
        """Go on with the handshake; whether it is done. Raises ssl.SSLError."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def plain(self) -> bytes | None:
        """What was received, decrypted: b"" at its end, None until there is more."""
        try:
            return self._tls.read(CHUNK_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def write(self, data: bytes) -> None:
        """Encrypt."""
        self._tls.write(data)

    def end(self) -> None:
        """Say that nothing more will come."""
        # It wants the other side's end as well, and that comes when it comes.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    inside: Inside,
) -> None:
    """Serve one client of the network until both directions have ended."""
    keep_alive(writer.get_extra_info("socket"))
    session = Session(context)
    try:
        if await _handshake(session, reader, writer):
            await _pass_on(session, reader, writer, inside)
    finally:
        writer.transport.abort()


async def _handshake(
    session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Whether the client is who it should be, in time. If not, it has been told why."""
    with contextlib.suppress(TimeoutError, OSError, ssl.SSLError):
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            try:
                while not session.greeted():
                    await _flush(session, writer)
                    session.received(await reader.read(CHUNK_BYTES))
            finally:
                # A refusal has its words, too.
                await _flush(session, writer)
        return True
    with contextlib.suppress(OSError):
        writer.write_eof()
        await writer.drain()
    return False


async def _pass_on(
    session: Session,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inside: Inside,
) -> None:
    ours, theirs = socket.socketpair()
    try:
        inner_reader, inner_writer = await asyncio.open_unix_connection(sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise

    async def inward() -> None:
        while True:
            while (data := session.plain()) is None:
                # Keys may change at any time, and that is answered.
                await _flush(session, writer)
                session.received(await reader.read(CHUNK_BYTES))
            if not data:
                break
            inner_writer.write(data)
            await inner_writer.drain()
        inner_writer.write_eof()

    async def outward() -> None:
        while data := await inner_reader.read(CHUNK_BYTES):
            session.write(data)
            await _flush(session, writer)
        session.end()
        await _flush(session, writer)
        writer.write_eof()

    try:
        await inside(theirs)
        # A client may leave at any moment, in the middle of a record as well.
        with contextlib.suppress(OSError, ssl.SSLError):
            await _both(inward(), outward())
    finally:
        inner_writer.transport.abort()


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Wait for both; the first error is the end of the other."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _flush(session: Session, writer: asyncio.StreamWriter) -> None:
    if data := session.to_send():
        writer.write(data)
        await writer.drain()
