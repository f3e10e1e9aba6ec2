"""What a handler is given and what it gives back: Request, Response, Stream.

Rule: these know no sockets of their own. A request reads its body through the
connection it came on, and only when the handler asks, so a client that sends
faster than the handler reads is slowed down by the kernel, not by our memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote

from fairlead.model.errors import Invalid

if TYPE_CHECKING:
    import asyncio

CHUNK_BYTES = 65536


class TooLarge(Invalid):
    """The body is longer than the handler is willing to hold."""

    status = 413


class ClientLeft(ConnectionError):
    """Nobody is there any more to read what the handler writes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, and for how long, a client may keep the server busy with nothing."""

    head_bytes: int = 64 << 10
    head_seconds: float = 30.0
    idle_seconds: float = 300.0
    # After the last byte of an answer: how long a client may go on sending.
    linger_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; a body that is an iterator is sent chunk by chunk, as they come."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Where a request's body comes from and its raw stream is had."""

    async def body_chunk(self) -> bytes:
        """Return the next piece of the body, and b"" after the last."""

    async def hijack(self, request: Request, headers: Mapping[str, str]) -> Stream:
        """Leave HTTP and hand over the raw connection."""


@dataclass(slots=True)
class Request:
    """One request: its head as values, its body on demand."""

    method: str
    path: str  # percent-decoded, without the query
    raw_path: str
    query: Mapping[str, str]  # the last of equal names wins, blank values are kept
    raw_query: str
    headers: Mapping[str, str]  # names in lower case
    source: Source = field(repr=False)

    async def read(self, limit: int = 4 << 20) -> bytes:
        """Return the whole body; one of more than `limit` bytes is refused."""
        announced = self.headers.get("content-length", "0")
        body = bytearray()
        too_large = int(announced) > limit
        while not too_large and (chunk := await self.source.body_chunk()):
            body += chunk
            too_large = len(body) > limit
        if too_large:
            raise TooLarge("request body too large", hint=f"at most {limit} bytes are read here")
        return bytes(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece, as fast as it is consumed."""
        while chunk := await self.source.body_chunk():
            yield chunk

    async def hijack(self, headers: Mapping[str, str]) -> Stream:
        """Answer 101 (or 200, if no upgrade was asked for) and take the raw connection."""
        return await self.source.hijack(self, headers)


def request(method: str, target: str, headers: Mapping[str, str], source: Source) -> Request:
    """The request for a target in origin form (`/a?b`) or absolute form (`http://host/a?b`)."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    raw_path, _, query = target.partition("#")[0].partition("?")
    return Request(
        method=method,
        path=unquote(raw_path),
        raw_path=raw_path,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        raw_query=query,
        headers=headers,
        source=source,
    )


class Stream:
    """A hijacked connection: bytes in both directions, each with its own end.

    It lives as long as the handler that hijacked it: when that returns, what
    was written is flushed and the connection closed.
    """

    def __init__(
        self,
        tail: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gone: asyncio.Event,
    ) -> None:
        self.gone = gone  # set when nobody is at the other end any more
        self._tail = tail
        self._reader = reader
        self._writer = writer

    async def read(self, n: int = CHUNK_BYTES) -> bytes:
        """Return what the client sent next, and b"" once it has finished sending."""
        if self._tail:
            piece, self._tail = self._tail[:n], self._tail[n:]
            return piece
        try:
            return await self._reader.read(n)
        except OSError:
            # Reset, not finished; for a reader that is the same end, and `gone` is set.
            return b""

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the client is slow to take them."""
        await send(self._writer, data)

    async def close(self) -> None:
        """End our side, after all that was written; the client may go on sending."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write and drain; a lost connection is the client's leaving."""
    try:
        writer.write(data)
        await writer.drain()
    except OSError as error:
        raise ClientLeft("the client closed the connection") from error


Handler = Callable[[Request], Awaitable[Response | None]]
OnError = Callable[[BaseException], Response]
