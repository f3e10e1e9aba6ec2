"""A small synchronous client for the Engine API, over a unix socket or TCP.

Rule: cheap to import and to start, for it is what the command line waits for;
neither asyncio nor h11 is loaded. One connection serves one request, so a
reply that streams for hours is in nobody's way.
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from fairlead.model.errors import Failed, Invalid, Unavailable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

TCP_PORT = 2375
CHUNK_BYTES = 65536

# None sends nothing; bytes, a binary file or an iterator of bytes are sent as
# they are, the latter two in chunks; anything else is sent as JSON.
Body = Any
Query = Mapping[str, Any]


class ApiError(Exception):
    """The daemon answered with an error."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


class Unreachable(Unavailable):
    """There is no daemon at this address, or none we may talk to."""


class Interrupted(Failed):
    """The daemon closed the connection before its answer was complete."""


class Reply:
    """An answer: its head at once, its body as it is read."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._response = response
        self._connection = connection

    def read(self) -> bytes:
        """Return all that is left of the body."""
        return b"".join(self.chunks())

    def json(self) -> Any:
        """Return the body decoded, or None if it is empty."""
        body = self.read()
        return json.loads(body) if body else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces, as they arrive."""
        missing = self._response.length  # http.client does not notice a cut itself
        try:
            while missing != 0 and (piece := self._response.read1(CHUNK_BYTES)):
                if missing is not None:
                    missing -= len(piece)
                yield piece
            if missing:
                raise IncompleteRead(b"", missing)
        except (HTTPException, OSError) as error:
            raise Interrupted("the daemon closed the connection during its answer") from error
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, each as soon as it is complete."""
        # Not the response's own readline: it takes a cut for an end.
        rest = b""
        for piece in self.chunks():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line + b"\n"
        if rest:
            yield rest

    def close(self) -> None:
        """Hang up; the daemon stops what it was sending."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Client:
    """Talks to one daemon, given as `unix:///path` or `tcp://host:port`."""

    def __init__(self, host: str) -> None:
        scheme, _, rest = host.partition("://")
        if scheme not in ("unix", "tcp") or not rest:
            raise Invalid(
                f"unable to parse docker host `{host}`",
                hint="write unix:///path/to/socket or tcp://host:port",
            )
        self.host = host
        self._address = rest
        self._is_unix = scheme == "unix"

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return its reply; a status of 400 or more raises ApiError."""
        connection = self._open()
        response = exchange(
            connection,
            method,
            target(path, query),
            body,
            {"Connection": "close", **(headers or {})},
        )
        return accepted(Reply(response, connection))

    def hijack(
        self, method: str, path: str, query: Query | None = None, body: Body = None
    ) -> socket.socket:
        """Send a request and return the raw connection it turned into.

        Nothing of what the daemon sends after its head is lost: the head is
        read byte by byte, so all that follows is still in the socket.
        """
        connection = self._open()
        connection.response_class = UnbufferedResponse
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = exchange(connection, method, target(path, query), body, upgrade)
        if response.status >= 400:
            response.fp = io.BufferedReader(cast("io.RawIOBase", response.fp))
        accepted(Reply(response, connection))
        sock = cast("socket.socket", connection.sock)
        connection.sock = None
        response.close()
        return sock

    def _open(self) -> HTTPConnection:
        connection = HTTPConnection("fairlead", blocksize=CHUNK_BYTES)
        connection.sock = self._dial()
        return connection

    def _dial(self) -> socket.socket:
        try:
            if self._is_unix:
                sock = socket.socket(socket.AF_UNIX)
                try:
                    sock.connect(self._address)
                except BaseException:
                    sock.close()
                    raise
                return sock
            name, _, port = self._address.rpartition(":")
            if not name:
                name, port = self._address, ""
            return socket.create_connection((name.strip("[]"), int(port or TCP_PORT)))
        except PermissionError as error:
            raise Unreachable(
                f"permission denied while connecting to the fairlead daemon at {self.host}",
                hint="run this as root, or as a member of the socket's group",
            ) from error
        except OSError as error:
            raise Unreachable(
                f"Cannot connect to the fairlead daemon at {self.host}. Is it running?",
                hint=error.strerror or str(error),
            ) from error


class UnbufferedResponse(HTTPResponse):
    """A response that takes from the socket no byte more than its own head."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = cast("io.BufferedReader", sock.makefile("rb", buffering=0))


def target(path: str, query: Query | None) -> str:
    """The path with its query: None is left out, truth is 1 or 0, mappings are JSON."""
    words = {}
    for name, value in (query or {}).items():
        if isinstance(value, bool):
            words[name] = str(int(value))
        elif isinstance(value, Mapping):
            words[name] = json.dumps(value)
        elif value is not None:
            words[name] = str(value)
    return f"{path}?{urlencode(words)}" if words else path


def exchange(
    connection: HTTPConnection, method: str, where: str, body: Body, headers: Mapping[str, str]
) -> HTTPResponse:
    """Send a request and wait for the head of the response."""
    kind = ""
    if isinstance(body, bytes | bytearray | Iterator) or hasattr(body, "read"):
        kind = "application/x-tar"
    elif body is not None:
        kind, body = "application/json", json.dumps(body).encode()
    try:
        try:
            connection.request(
                method, where, body, {"Content-Type": kind, **headers} if kind else headers
            )
        except (BrokenPipeError, ConnectionResetError):
            # The daemon refused the body before its end; it has said why.
            return connection.getresponse()
        return connection.getresponse()
    except (HTTPException, OSError) as error:
        connection.close()
        raise Interrupted("the daemon closed the connection without an answer") from error
    except BaseException:
        connection.close()
        raise


def accepted(reply: Reply) -> Reply:
    """The reply itself, unless it is an error."""
    if reply.status < 400:
        return reply
    text = reply.read().decode(errors="replace")
    try:
        answer = json.loads(text)
        message, hint = str(answer["message"]), str(answer.get("hint") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        message, hint = text.strip() or f"the daemon answered {reply.status}", ""
    raise ApiError(reply.status, message, hint)
