"""A server on a loop of its own thread, so that tests can be plain blocking clients."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead.http.server import Handler, Limits, Response, Server
from fairlead.model.errors import FairleadError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")
PATIENCE_SECONDS = 90


class Served:
    """A running server, what it reported, and ways to talk to it."""

    def __init__(self, path: Path, handler: Handler, **limits: Any) -> None:
        self.path = path
        self.errors: list[BaseException] = []
        self.surprises: list[dict[str, Any]] = []
        self.server = Server(handler, self._on_error, Limits(**limits))
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self.surprises.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.call(self.server.listen_unix(path))

    def _on_error(self, error: BaseException) -> Response:
        self.errors.append(error)
        if isinstance(error, FairleadError):
            return Response(error.status, f"known: {error.message}".encode())
        return Response(500, b"unknown")

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def tasks(self) -> int:
        """How many tasks the loop has, besides the one that counts."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return self.call(count())

    def stop(self, timeout_seconds: float = 0) -> None:
        """Close the server and its loop; nothing may be left of it."""
        if not self._thread.is_alive():
            return
        try:
            self.call(self.server.close(timeout_seconds))
            left = self.tasks()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        assert left == 0
        assert self.surprises == []

    def dial(self) -> socket.socket:
        """A connection to the server."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(str(self.path))
        return sock

    def talk(self, *pieces: bytes) -> bytes:
        """Send pieces, end our side, return everything the server says."""
        with self.dial() as sock:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            return rest(sock)


def rest(sock: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def until(sock: socket.socket, end: bytes) -> bytes:
    """What comes up to and including `end`; the server must not have said more."""
    got = b""
    while not got.endswith(end):
        piece = sock.recv(65536)
        assert piece, f"ended after {got!r}"
        got += piece
    return got


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.005)


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request head."""
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode()
