"""One POST of JSON to another program, over a unix socket or TCP, with or without TLS.

Rule: whoever answers is not trusted. An answer has a limit in bytes and the call one in time;
a redirect is an answer like any other and leads nowhere; one connection serves one call.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import h11

from fairlead.model.errors import Failed, Unavailable

CHUNK_BYTES = 65536
HEAD_BYTES = 65536


class NotConnected(Unavailable):
    """Nobody listens there: nothing was sent."""


class NoAnswer(Unavailable):
    """What was sent may or may not have been done."""


class BadAnswer(Failed):
    """What came back is no answer, or too long a one."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a program listens: a path of a unix socket, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


async def post(
    address: Address,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    most_bytes: int,
) -> Answer:
    """Send a body and return the answer. Raises NotConnected, NoAnswer, BadAnswer."""
    connected = False
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _connect(address)
            connected = True
            try:
                return await _talk(reader, writer, target, body, headers, most_bytes)
            finally:
                # Not waited for: a peer that does not read must not keep us.
                writer.transport.abort()
    except TimeoutError:
        kind = NoAnswer if connected else NotConnected
        raise kind(f"no answer from {address} within {seconds:g} seconds") from None
    except ssl.SSLError as error:
        # It will not be another the next time.
        raise BadAnswer(f"{address}: {error.reason or error}".lower()) from error
    except (OSError, EOFError) as error:
        kind = NoAnswer if connected else NotConnected
        reason = getattr(error, "strerror", None) or str(error) or "connection closed"
        raise kind(f"{address}: {reason[0].lower()}{reason[1:]}") from error
    except h11.RemoteProtocolError as error:
        raise BadAnswer(f"{address} does not speak HTTP: {error}") from error


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.path:
        return await asyncio.open_unix_connection(address.path)
    return await asyncio.open_connection(address.host, address.port, ssl=address.tls)


async def _talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
    most_bytes: int,
) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    fields = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    request = h11.Request(method="POST", target=target, headers=list(fields.items()))
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    status, found = 0, bytearray()
    while True:
        answer = connection.next_event()
        if answer is h11.NEED_DATA:
            data = await reader.read(CHUNK_BYTES)
            if not data and not status:
                raise EOFError("connection closed before the answer")
            connection.receive_data(data)
        elif isinstance(answer, h11.Response):
            status = answer.status_code
        elif isinstance(answer, h11.Data):
            found += answer.data
            if len(found) > most_bytes:
                raise BadAnswer(f"the answer to {target} has more than {most_bytes} bytes")
        elif isinstance(answer, h11.EndOfMessage):
            return Answer(status, bytes(found))
        elif not isinstance(answer, h11.InformationalResponse):
            raise EOFError("connection closed before the answer")
