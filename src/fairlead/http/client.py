"""A small synchronous client for the Engine API, over a unix socket or TCP.

Rule: cheap to import and to start, for it is what the command line waits for;
neither asyncio nor h11 is loaded, nor the standard library's client, which
loads TLS and mail. One connection serves one request, so a
reply that streams for hours is in nobody's way.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fairlead.http.exchange import Answer, Malformed, receive, send
from fairlead.model.errors import Failed, Invalid, Unavailable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

TCP_PORT = 2375

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

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer

    def read(self) -> bytes:
        """Return all that is left of the body."""
        return b"".join(self.chunks())

    def json(self) -> Any:
        """Return the body decoded, or None if it is empty."""
        body = self.read()
        return json.loads(body) if body else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces, as they arrive."""
        try:
            yield from self._answer.body()
        except (Malformed, OSError) as error:
            raise Interrupted("the daemon closed the connection during its answer") from error
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, each as soon as it is complete."""
        rest = b""
        for piece in self.chunks():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line + b"\n"
        if rest:
            yield rest

    def close(self) -> None:
        """Hang up; the daemon stops what it was sending."""
        self._answer.close()

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
        last = {"Connection": "close", **(headers or {})}
        return accepted(Reply(exchange(self._dial(), method, target(path, query), body, last)))

    def hijack(
        self, method: str, path: str, query: Query | None = None, body: Body = None
    ) -> socket.socket:
        """Send a request and return the raw connection it turned into.

        Nothing of what the daemon sends after its head is lost: no more than the
        head is taken, so all that follows is still in the socket.
        """
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        sock = self._dial()
        accepted(Reply(exchange(sock, method, target(path, query), body, upgrade)))
        return sock

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
    sock: socket.socket, method: str, where: str, body: Body, headers: Mapping[str, str]
) -> Answer:
    """Send a request and wait for the head of the answer."""
    kind = ""
    if isinstance(body, bytes | bytearray | Iterator) or hasattr(body, "read"):
        kind = "application/x-tar"
    elif body is not None:
        kind, body = "application/json", json.dumps(body).encode()
    try:
        # A daemon that refuses a body before its end says why, and hangs up.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send(sock, method, where, body, {"Content-Type": kind, **headers} if kind else headers)
        return receive(sock, method)
    except (Malformed, OSError) as error:
        sock.close()
        raise Interrupted("the daemon closed the connection without an answer") from error
    except BaseException:
        sock.close()
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
