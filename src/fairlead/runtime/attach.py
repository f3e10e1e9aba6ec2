"""Attachments: the standard streams of a running program.

Two sources, one face. A container's streams come from conmon's socket, where
each packet starts with a byte that names its stream; an exec's come from its
own pipes or terminal. Reading gives ``(1, bytes)`` for standard output and
``(2, bytes)`` for standard error; a terminal has only the first.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from fairlead.model.errors import Conflict

STDOUT, STDERR = 1, 2
CHUNK = 32768

# conmon numbers them 2 and 3, and reads at most 32 KiB of a packet.
_STREAMS = {2: STDOUT, 3: STDERR}
_PACKET = 8192


class Attachment(Protocol):
    """What a client is connected to."""

    async def read(self) -> tuple[int, bytes] | None:
        """Wait for output; None is the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send input; input nobody reads any more is dropped, as a closed pipe drops it."""
        ...

    async def close_stdin(self) -> None:
        """Say that no more input comes."""
        ...

    async def close(self) -> None:
        """Detach; the program goes on."""
        ...

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Read until the end."""
        ...


class _Frames(ABC):
    @abstractmethod
    async def read(self) -> tuple[int, bytes] | None: ...

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while (frame := await self.read()) is not None:
            yield frame


class SocketAttachment(_Frames):
    """The streams of a container, by conmon's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._closed = False
        self._readers = 0

    @classmethod
    async def open(cls, bundle: Path) -> SocketAttachment:
        """Connect to the conmon of a bundle."""
        sock = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        directory = -1
        try:
            directory = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
            # A socket's path has room for 107 bytes; through the descriptor any depth fits.
            await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{directory}/attach")
        except BaseException as error:
            sock.close()
            if isinstance(error, ConnectionError | FileNotFoundError):
                raise Conflict(
                    "You cannot attach to a stopped container, start it first"
                ) from error
            raise
        finally:
            if directory >= 0:
                os.close(directory)
        return cls(sock)

    async def read(self) -> tuple[int, bytes] | None:
        """Wait for output; None is the end."""
        while not self._closed:
            packet = await self._packet()
            if not packet:
                return None
            if (stream := _STREAMS.get(packet[0])) and len(packet) > 1:
                return stream, packet[1:]
        return None

    async def _packet(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._readers += 1
        try:
            while True:
                try:
                    return await loop.sock_recv(self._sock, CHUNK + 1)
                except ConnectionResetError:
                    # conmon left with input unread. The error is told once, before
                    # the output that still waits in the socket.
                    continue
        finally:
            self._readers -= 1
            self._release()

    def _release(self) -> None:
        # The loop must not be left watching a closed descriptor: the reader closes it.
        if self._closed and not self._readers:
            self._sock.close()

    async def write(self, data: bytes) -> None:
        """Send input."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), _PACKET):
            try:
                await loop.sock_sendall(self._sock, data[start : start + _PACKET])
            except (BrokenPipeError, ConnectionResetError):
                return

    async def close_stdin(self) -> None:
        """Say that no more input comes."""
        self._shut(socket.SHUT_WR)

    async def close(self) -> None:
        """Detach."""
        if not self._closed:
            self._closed = True
            self._shut(socket.SHUT_RDWR)
            self._release()

    def _shut(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EPIPE, errno.EBADF):
                raise


class PipeAttachment(_Frames):
    """The streams of an exec: descriptors of pipes, or one of a terminal.

    A client that leaves must not end the program with a broken pipe, so what
    comes after `close` is read and forgotten until the program is done.
    """

    def __init__(self, stdin: int | None, outputs: dict[int, int]) -> None:
        self._stdin = stdin
        self._open = dict(outputs)
        self._is_terminal = stdin is not None and stdin in outputs
        self._closed = False
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        for fd in {*outputs, *(() if stdin is None else (stdin,))}:
            os.set_blocking(fd, False)

    @property
    def terminal(self) -> int | None:
        """The terminal's descriptor while there is one."""
        return next(iter(self._open), None) if self._is_terminal else None

    async def read(self) -> tuple[int, bytes] | None:
        """Wait for output; None is the end of every stream."""
        while self._open and not self._closed:
            for fd in list(self._open):
                piece = _take(fd)
                if piece:
                    # The other stream goes first the next time: neither can starve.
                    stream = self._open[fd] = self._open.pop(fd)
                    return stream, piece
                if piece is not None:
                    self._end(fd)
            if self._open:
                await self._wait()
        return None

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready.clear()
        for fd in self._open:
            loop.add_reader(fd, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if not self._closed:
                for fd in self._open:
                    loop.remove_reader(fd)

    def _end(self, fd: int) -> None:
        del self._open[fd]
        loop = asyncio.get_running_loop()
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        if fd == self._stdin:
            self._stdin = None
            self._room.set()
        os.close(fd)

    async def write(self, data: bytes) -> None:
        """Send input."""
        view = memoryview(data)
        while view and self._stdin is not None:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable(self._stdin)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                return

    async def _writable(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        self._room.clear()
        loop.add_writer(fd, self._room.set)
        try:
            await self._room.wait()
        finally:
            if self._stdin == fd:
                loop.remove_writer(fd)

    async def close_stdin(self) -> None:
        """Say that no more input comes; a terminal has no such thing."""
        if self._stdin is not None and not self._is_terminal:
            asyncio.get_running_loop().remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = None
            self._room.set()

    async def close(self) -> None:
        """Detach; further output is forgotten."""
        if self._closed:
            return
        self._closed = True
        await self.close_stdin()
        self._ready.set()
        for fd in self._open:
            asyncio.get_running_loop().add_reader(fd, self._forget, fd)

    def _forget(self, fd: int) -> None:
        if _take(fd) == b"":
            self._end(fd)


def _take(fd: int) -> bytes | None:
    """Read what is there; None when nothing is, empty at the end."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        # A terminal whose last user left says so with an error.
        if error.errno != errno.EIO:
            raise
        return b""
