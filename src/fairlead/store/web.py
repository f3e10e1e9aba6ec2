"""HTTP to a store's servers, on the loop: short questions, and answers that do not end.

The libraries for stores block a thread until there is something to say, and cannot be told to
stop; so whatever waits for long goes through here, and ends when its caller does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import h11

from fairlead.store.servers import Broken, Server, Servers, Unreached
from fairlead.store.shared import LIMIT_SECONDS

CHUNK_BYTES = 65536
LARGEST_ANSWER_BYTES = 256 << 20
"""More than 10,000 keys of any size that makes sense; a store that sends more is ill."""
LONGEST_LINE_BYTES = 64 << 20
MOST_IDLE = 4
"""Connections kept open to each server."""
PULSE_SECONDS = 5.0
"""After so long a silence somebody looks whether a server still lives."""

Alive = Callable[[Server], Awaitable[None]]
"""Asks a server something; raises Broken or Unreached if it is dead."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    method: str
    target: str
    body: bytes = b""
    kind: str = ""
    """The type of the body."""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """A client of a store that speaks HTTP."""

    def __init__(
        self,
        servers: Servers,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.servers = servers
        self.received_bytes = 0
        """All that servers have sent."""
        self._tls = tls
        self._headers = dict(headers or {})
        self._idle: dict[Server, list[_Connection]] = {}

    async def ask(self, request: Request, *, again: bool = True) -> tuple[Answer, Server]:
        """The answer of one of the servers. Raises Away, for errors of the server as well."""
        return await self.servers.ask(
            lambda server, _seconds: self.ask_one(server, request), again=again
        )

    async def ask_one(self, server: Server, request: Request) -> Answer:
        """The answer of a certain server. Raises Unreached or Broken."""
        async with self._sent(server, request) as (connection, status, headers):
            body = b"".join([piece async for piece in connection.pieces(LARGEST_ANSWER_BYTES)])
        if status >= 500:
            raise Broken(body[:200].decode(errors="replace").strip() or f"status {status}")
        return Answer(status, headers, body)

    async def wait(self, server: Server, request: Request, alive: Alive) -> Answer:
        """The answer of a certain server, however long it takes while that is alive."""
        async with self._sent(server, request, alive) as (connection, status, headers):
            pieces = connection.pieces(LARGEST_ANSWER_BYTES, self._pulse(server, alive))
            body = b"".join([piece async for piece in pieces])
        if status >= 500:
            raise Broken(body[:200].decode(errors="replace").strip() or f"status {status}")
        return Answer(status, headers, body)

    async def lines(
        self, server: Server, request: Request, alive: Alive
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer without end. Raises Unreached or Broken, also at its end."""
        async with self._sent(server, request, alive) as (connection, status, _):
            rest = b""
            async for piece in connection.pieces(None, self._pulse(server, alive)):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line
                if len(rest) > LONGEST_LINE_BYTES:
                    raise Broken("a line without end")
        raise Broken(rest[:200].decode(errors="replace") or f"it ended with status {status}")

    def close(self) -> None:
        """Hang up."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _pulse(self, server: Server, alive: Alive) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    await alive(server)
            except TimeoutError:
                raise Broken("it has fallen silent") from None

        return look

    @contextlib.asynccontextmanager
    async def _sent(
        self, server: Server, request: Request, alive: Alive | None = None
    ) -> AsyncIterator[tuple[_Connection, int, Mapping[str, str]]]:
        """A connection on which the head of the answer has come; kept if all of it was read."""
        connection = self._fresh(server) or await _dial(server, self._tls, self._count)
        try:
            pulse = self._pulse(server, alive) if alive is not None else None
            status, headers = await connection.exchange(server, request, self._headers, pulse)
            yield connection, status, headers
        except (OSError, h11.ProtocolError, EOFError) as error:
            raise Broken(str(error) or type(error).__name__) from error
        finally:
            idle = self._idle.setdefault(server, [])
            if len(idle) < MOST_IDLE and connection.rest():
                idle.append(connection)
            else:
                connection.close()

    def _count(self, size: int) -> None:
        self.received_bytes += size

    def _fresh(self, server: Server) -> _Connection | None:
        """A connection of before that the server has not closed."""
        idle = self._idle.get(server, [])
        while idle:
            connection = idle.pop()
            if connection.open:
                return connection
            connection.close()
        return None


class _Connection:
    """One connection, one request at a time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        count: Callable[[int], None],
    ) -> None:
        self._reader, self._writer, self._count = reader, writer, count
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=CHUNK_BYTES)

    @property
    def open(self) -> bool:
        """Whether the other end has said nothing, not even that it goes."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def rest(self) -> bool:
        """Whether it can serve another request."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return self.open
        return False

    def close(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()

    async def exchange(
        self,
        server: Server,
        request: Request,
        headers: Mapping[str, str],
        pulse: Callable[[], Awaitable[None]] | None,
    ) -> tuple[int, Mapping[str, str]]:
        """Send a request; the status and headers of its answer."""
        head = {"Host": str(server), "Accept": "*/*", **headers, **(request.headers or {})}
        if request.body or request.method not in ("GET", "DELETE"):
            head["Content-Length"] = str(len(request.body))
        if request.kind:
            head["Content-Type"] = request.kind
        send = self._http.send
        out = send(
            h11.Request(method=request.method, target=request.target, headers=[*head.items()])
        )
        if request.body:
            out = (out or b"") + (send(h11.Data(data=request.body)) or b"")
        out = (out or b"") + (send(h11.EndOfMessage()) or b"")
        self._writer.write(out)
        await self._writer.drain()
        event = await self._event(pulse)
        while isinstance(event, h11.InformationalResponse):
            event = await self._event(pulse)
        if not isinstance(event, h11.Response):
            raise EOFError("it hung up")  # noqa: TRY004
        names = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
        return event.status_code, names

    async def pieces(
        self, most: int | None, pulse: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[bytes]:
        """The body as it comes, up to a size."""
        size = 0
        while isinstance(event := await self._event(pulse), h11.Data):
            size += len(event.data)
            if most is not None and size > most:
                raise Broken(f"an answer of more than {most} bytes")
            yield bytes(event.data)

    async def _event(self, pulse: Callable[[], Awaitable[None]] | None) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            piece = await self._read(pulse)
            self._count(len(piece))
            self._http.receive_data(piece)

    async def _read(self, pulse: Callable[[], Awaitable[None]] | None) -> bytes:
        if pulse is None:
            return await self._reader.read(CHUNK_BYTES)
        while True:
            try:
                async with asyncio.timeout(PULSE_SECONDS):
                    return await self._reader.read(CHUNK_BYTES)
            except TimeoutError:
                await pulse()


async def _dial(
    server: Server, tls: ssl.SSLContext | None, count: Callable[[int], None]
) -> _Connection:
    try:
        reader, writer = await asyncio.open_connection(
            server.host, server.port, ssl=tls, limit=4 * CHUNK_BYTES
        )
    except OSError as error:
        # Refused, unknown, or of no certificate that is trusted.
        raise Unreached(error.strerror or str(error)) from error
    return _Connection(reader, writer, count)


def web(
    name: str,
    servers: Sequence[Server],
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
) -> Web:
    """A client with the usual limits."""
    return Web(Servers(name, servers, LIMIT_SECONDS), tls, headers)
