"""One HTTP/1.1 connection: turns of request and answer, parsed by h11.

Rule: the socket has one reader at a time, and nobody reads ahead.

============================ =================================================
while                        the socket is read by
============================ =================================================
a request head is awaited    the connection's task
the handler works            the handler, when it asks for its body
the connection is hijacked   the handler, through its Stream
the answer is complete       the connection's task, to discard what still comes
============================ =================================================

So bytes that follow an upgrade request cannot be eaten by somebody who only
wanted to know whether the client is still there; that is learnt without
reading (see `hangup.py`), and cancels the task. A client that merely ends its
sending side is not gone: the answer still goes out.

The last step is a lingering close. Closing a socket that has unread input
makes the kernel send a reset, and a reset may overtake the answer (TCP) or
turn the end of the stream into an error (unix). So: end our side, discard the
client's, then close.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from fairlead.http.message import (
    CHUNK_BYTES,
    ClientLeft,
    Handler,
    Limits,
    OnError,
    Request,
    Response,
    Stream,
    request,
    send,
)
from fairlead.model.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

NO_BODY = frozenset({204, 304})
PHRASES = {int(status): status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Service:
    """What all connections of one server share."""

    handler: Handler
    on_error: OnError
    limits: Limits = field(default_factory=Limits)
    closing: bool = False


class Connection:
    """The task that serves one client, and what it holds."""

    def __init__(
        self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.idle = True  # owes the client nothing: may be dropped at any time
        self._service = service
        self._reader = reader
        self._writer = writer
        self._gone = asyncio.Event()
        self._cancel_when_gone = True
        self._hijacked = False
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=service.limits.head_bytes)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def abort(self) -> None:
        """Close now, whatever is still to be sent."""
        self._writer.transport.abort()

    def hung_up(self) -> None:
        """Take note that the client is gone: the handler's work has nobody to go to."""
        self._gone.set()
        if self._cancel_when_gone:
            self.task.cancel()

    async def _serve(self) -> None:
        try:
            # A client may leave at any moment; that ends the conversation, no more.
            with contextlib.suppress(ClientLeft):
                while await self._turn():
                    pass
                await self._linger()
        finally:
            self._cancel_when_gone = False
            self.abort()
            with contextlib.suppress(OSError):  # the reason of a loss we know about
                await self._writer.wait_closed()

    async def _turn(self) -> bool:
        """Serve one request; false when it was the last."""
        try:
            head = await self._head()
        except h11.RemoteProtocolError as error:
            return await self._refuse(error.error_status_hint, plain(error))
        except TimeoutError:
            return await self._refuse(408, "the request head took too long")
        if head is None:
            return False
        headers: dict[str, str] = {}
        for name, value in head.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        asked = request(head.method.decode(), head.target.decode("latin-1"), headers, self)
        response = await self._answer(asked)
        if response is None:
            return False
        await self._send(asked.method, response)
        self._skip_received_body()
        if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
            return False
        self._wire.start_next_cycle()
        return True

    async def _head(self) -> h11.Request | None:
        """Wait for the next request's head; none if the client has no more."""
        limits = self._service.limits
        if not self._wire.trailing_data[0]:
            self.idle = True
            try:
                async with asyncio.timeout(limits.idle_seconds):
                    self._wire.receive_data(await self._receive())
            except TimeoutError:
                return None
        self.idle = False
        async with asyncio.timeout(limits.head_seconds):
            while (event := self._wire.next_event()) is h11.NEED_DATA:
                self._wire.receive_data(await self._receive())
        if isinstance(event, h11.Request):
            if event.method == b"CONNECT":
                raise h11.RemoteProtocolError("this is not a proxy", error_status_hint=405)
            if event.http_version not in (b"1.0", b"1.1"):
                raise h11.RemoteProtocolError("this is HTTP/1.1", error_status_hint=505)
            # Two lengths may mean two things to two readers: RFC 9112, 6.1.
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                raise h11.RemoteProtocolError("a body has one length", error_status_hint=400)
            return event
        return None

    async def _answer(self, asked: Request) -> Response | None:
        """Run the handler; the one place where its errors become answers."""
        error: BaseException
        try:
            response = await self._service.handler(asked)
            if (response is None) is not self._hijacked:
                raise RuntimeError("a handler either hijacks or returns a response")
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = cancelled  # of something the handler awaited, not of us
        except Exception as raised:  # noqa: BLE001 - on_error reports it
            error = raised
        else:
            return response
        if only_left(error):
            return None
        response = self._service.on_error(error)
        return None if self._hijacked else response

    async def _refuse(self, status: int, message: str) -> bool:
        """Answer what is not HTTP, as an error of the same shape as all others."""
        response = self._service.on_error(Invalid(message))
        await self._send("", replace(response, status=status))
        return False

    async def _send(self, method: str, response: Response) -> None:
        """Send an answer; if it breaks half-way, cut the connection so that it shows."""
        body = response.body
        bodyless = method == "HEAD" or response.status in NO_BODY
        try:
            if not isinstance(body, bytes):
                await self._invite()  # it may read the request as it answers
            head = self._wire.send(
                h11.Response(
                    status_code=response.status,
                    headers=self._headers(response),
                    reason=PHRASES.get(response.status, ""),
                )
            )
            if isinstance(body, bytes):
                if body and not bodyless:
                    head += self._wire.send(h11.Data(data=body))
                await send(self._writer, head + self._wire.send(h11.EndOfMessage()))
                return
            await send(self._writer, head)
            if not bodyless:
                async for chunk in body:
                    await send(self._writer, self._wire.send(h11.Data(data=chunk)))
            await send(self._writer, self._wire.send(h11.EndOfMessage()))
        except ClientLeft:
            raise
        except Exception as error:
            self._service.on_error(error)
            self.abort()
            raise ClientLeft("sent away in the middle of an answer") from error
        finally:
            if not isinstance(body, bytes):
                await finish(body)

    def _headers(self, response: Response) -> list[tuple[bytes, bytes]]:
        """The answer's headers, with its length and whether this is the last one."""
        headers = {
            name.lower().encode(): value.encode() for name, value in response.headers.items()
        }
        if isinstance(response.body, bytes):
            if response.status not in NO_BODY:
                headers.setdefault(b"content-length", str(len(response.body)).encode())
            self._skip_received_body()
            unread = self._wire.their_state in (h11.SEND_BODY, h11.ERROR)
        else:
            unread = False  # not known before the iterator is done
        if unread or self._service.closing:
            headers[b"connection"] = b"close"
        return list(headers.items())

    def _skip_received_body(self) -> None:
        """Forget a body nobody asked for, as far as it is here; we never wait for one."""
        with contextlib.suppress(h11.RemoteProtocolError):  # it leaves their_state ERROR
            while self._wire.their_state is h11.SEND_BODY:
                if self._wire.next_event() is h11.NEED_DATA:
                    return

    async def body_chunk(self) -> bytes:
        """Return the next piece of the request's body, and b"" after the last."""
        try:
            while self._wire.their_state in (h11.SEND_BODY, h11.ERROR):
                event = self._wire.next_event()
                if isinstance(event, h11.Data):
                    return bytes(event.data)
                if event is h11.NEED_DATA:
                    await self._invite()
                    self._wire.receive_data(await self._receive())
        except h11.RemoteProtocolError as error:
            raise Invalid(plain(error)) from error
        return b""

    async def _invite(self) -> None:
        """Tell a client that waits for it (`Expect: 100-continue`) to send its body."""
        if self._wire.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=PHRASES[100])
            await send(self._writer, self._wire.send(go_on))

    async def hijack(self, asked: Request, headers: Mapping[str, str]) -> Stream:
        """Leave HTTP: finish the request, say so, and hand over what follows it."""
        while await self.body_chunk():
            pass
        status, more = b"200 OK", {}
        wanted = (word.strip() for word in asked.headers.get("connection", "").split(","))
        if asked.headers.get("upgrade") == "tcp" and "upgrade" in map(str.lower, wanted):
            status, more = b"101 UPGRADED", {"Connection": "Upgrade", "Upgrade": "tcp"}
        lines = [b"HTTP/1.1 " + status]
        lines += [f"{name}: {value}".encode() for name, value in {**headers, **more}.items()]
        self._hijacked = True
        self._cancel_when_gone = False  # what the client sent before it left is still input
        await send(self._writer, b"\r\n".join([*lines, b"", b""]))
        return Stream(self._wire.trailing_data[0], self._reader, self._writer, self._gone)

    async def _receive(self) -> bytes:
        try:
            return await self._reader.read(CHUNK_BYTES)
        except OSError as error:
            raise ClientLeft("the client reset the connection") from error

    async def _linger(self) -> None:
        """Flush, end our side, and let the client end its own before closing."""
        self._cancel_when_gone = True
        if self._gone.is_set() or self._writer.is_closing():
            return
        self._writer.transport.set_write_buffer_limits(0)
        with contextlib.suppress(OSError):  # lost or too slow: two more ways to end
            await self._writer.drain()
            if self._writer.can_write_eof():
                self._writer.write_eof()
            self.idle = True
            async with asyncio.timeout(self._service.limits.linger_seconds):
                while await self._reader.read(CHUNK_BYTES):
                    pass


async def finish(body: AsyncIterator[bytes]) -> None:
    """Let a generator that is not run to its end release what it holds."""
    if (aclose := getattr(body, "aclose", None)) is not None:
        await aclose()


def plain(error: h11.RemoteProtocolError) -> str:
    """What is wrong with a request, without the bytes that are."""
    return str(error).partition(":")[0]


def only_left(error: BaseException) -> bool:
    """Whether an error says nothing but that the client left."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ClientLeft)[1] is None
    return isinstance(error, ClientLeft)
