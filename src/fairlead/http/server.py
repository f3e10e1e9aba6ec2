"""An HTTP/1.1 server for asyncio whose connections can be hijacked.

Rule: whatever it starts, it ends. Every connection is a task that is kept,
`close` returns when the last one is over, and no descriptor is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fairlead.http.connection import Connection, Service
from fairlead.http.hangup import Hangups
from fairlead.http.message import (
    CHUNK_BYTES,
    ClientLeft,
    Handler,
    Limits,
    OnError,
    Request,
    Response,
    Stream,
    TooLarge,
)
from fairlead.model.errors import Conflict, NotFound

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

__all__ = [
    "ClientLeft",
    "Handler",
    "Limits",
    "OnError",
    "Request",
    "Response",
    "Server",
    "Stream",
    "TooLarge",
]

BACKLOG = 512
NEW_ASYNCIO = sys.version_info >= (3, 13)

Admitted = Callable[[str], bool]
"""Whether a client may speak, by its address."""
Opened = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Callable[[], None]]


class Wire(asyncio.StreamReaderProtocol):
    """asyncio's stream protocol, which also tells when the connection is lost."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(asyncio.StreamReader(limit=CHUNK_BYTES), self._start)
        self._opened = opened
        self._lost: Callable[[], None] | None = None

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lost = self._opened(reader, writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the loss on to those who read and write, then to the server."""
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()


class Server:
    """Listens, keeps the connections, and closes them in order."""

    def __init__(self, handler: Handler, on_error: OnError, limits: Limits | None = None) -> None:
        self._service = Service(handler, on_error, limits or Limits())
        self._hangups: Hangups | None = None
        self._listeners: list[asyncio.Server] = []
        self._sockets: list[tuple[Path, int]] = []  # path and inode of those we made
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._relays: set[asyncio.Task[None]] = set()

    async def listen_unix(self, path: Path, mode: int = 0o660, group: str | None = None) -> None:
        """Listen on a unix socket, in place of one that a dead process left behind."""
        gid = -1 if group is None else group_id(group)
        clear(path)
        sock = bound(path, mode)
        self._sockets.append((path, inode(path)))
        os.chown(path, -1, gid)
        loop = asyncio.get_running_loop()
        listener = await loop.create_unix_server(self._wire, sock=sock, backlog=BACKLOG)
        self._listeners.append(listener)

    async def listen_tcp(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        admitted: Admitted | None = None,
    ) -> int:
        """Listen on a TCP port and return it; 0 lets the kernel choose.

        Clients whose address is not `admitted` are hung up on.
        """
        loop = asyncio.get_running_loop()
        wire = self._wire_for(tls, admitted)
        listener = await loop.create_server(wire, host, port, backlog=BACKLOG)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def listen_on(
        self,
        sock: socket.socket,
        tls: ssl.SSLContext | None = None,
        admitted: Admitted | None = None,
    ) -> None:
        """Listen on a socket that somebody else made, and whose name stays theirs."""
        loop = asyncio.get_running_loop()
        wire = self._wire_for(tls, admitted)
        if sock.family == socket.AF_UNIX:
            # From 3.13 on, asyncio would remove the name of a socket that it closes.
            more: dict[str, Any] = {"cleanup_socket": False} if NEW_ASYNCIO else {}
            listener = await loop.create_unix_server(wire, sock=sock, backlog=BACKLOG, **more)
        else:
            listener = await loop.create_server(wire, sock=sock, backlog=BACKLOG)
        self._listeners.append(listener)

    async def close(self, timeout_seconds: float) -> None:
        """Take no more requests, let those that run finish in time, then cancel them."""
        self._service.closing = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        while self._sockets:
            unlink(*self._sockets.pop())
        for task, connection in self._connections.items():
            if connection.idle:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=timeout_seconds)
        for task in self._connections:
            task.cancel()
        while self._connections:
            await asyncio.wait(self._connections)
        for relayed in self._relays:
            relayed.cancel()
        if self._relays:
            await asyncio.wait(self._relays)
        if self._hangups is not None:
            self._hangups.close()
            self._hangups = None

    def _wire(self) -> Wire:
        return Wire(self._opened)

    def _wire_for(
        self, tls: ssl.SSLContext | None, admitted: Admitted | None
    ) -> Callable[[], Wire]:
        """How clients of a listener begin: by name, and through TLS."""
        opened: Opened = self._opened if tls is None else partial(self._opened_by_tls, tls)

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Callable[[], None]:
            if admitted is not None and not admitted(writer.get_extra_info("peername")[0]):
                writer.transport.abort()
                return lambda: None
            return opened(reader, writer)

        return lambda: Wire(begin)

    def _opened(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Callable[[], None]:
        if self._service.closing:  # accepted while the listener was being closed
            writer.transport.abort()
            return lambda: None
        if self._hangups is None:
            self._hangups = Hangups(asyncio.get_running_loop())
        connection = Connection(self._service, reader, writer)
        self._connections[connection.task] = connection
        connection.task.add_done_callback(self._ended)
        sock = writer.get_extra_info("socket")
        self._hangups.watch(sock, connection.hung_up)
        return partial(self._hangups.lost, sock.fileno())

    def _opened_by_tls(
        self,
        context: ssl.SSLContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Callable[[], None]:
        from fairlead.http.tls import relay

        async def inside(sock: socket.socket) -> None:
            await asyncio.get_running_loop().connect_accepted_socket(self._wire, sock)

        work = relay(reader, writer, context, inside)
        task = asyncio.get_running_loop().create_task(work)
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        return lambda: None

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Cancelled before its first step, a task has not closed anything itself.
        self._connections.pop(task).abort()
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "a connection ended with an error", "exception": error, "task": task}
            )


def group_id(name: str) -> int:
    """The number of a group given by name or number."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise NotFound(
            f"group {name} not found", hint=f"create it: groupadd --system {name}"
        ) from None


def clear(path: Path) -> None:
    """Make way for a new socket; refuse if somebody still listens on the old one."""
    if not path.exists():
        return
    if not path.is_socket():
        raise Conflict(f"{path} exists and is not a socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        # A full queue of waiting clients says EAGAIN: somebody listens then, too.
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(BlockingIOError):
                probe.connect(str(path))
            raise Conflict(
                f"{path} is in use by another process",
                hint="stop the daemon that listens there, or choose another path",
            )
    path.unlink(missing_ok=True)


def bound(path: Path, mode: int) -> socket.socket:
    """A socket bound to the path, which is at no moment more open than `mode`."""
    sock = socket.socket(socket.AF_UNIX)
    before = os.umask(~mode & 0o777)
    try:
        sock.bind(str(path))
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def inode(path: Path) -> int:
    """What tells our socket from another with the same name."""
    return path.stat().st_ino


def unlink(path: Path, ours: int) -> None:
    """Remove our socket's name, unless somebody else has put theirs in its place."""
    with contextlib.suppress(FileNotFoundError):
        if inode(path) == ours:
            path.unlink()
