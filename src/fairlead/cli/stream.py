"""Talking to a container over a hijacked connection: input out, output in, until either ends.

::

    stdin ──► detach keys? ──► socket ──► terminal: bytes as they come ──► stdout
                                      └─► else: [stream 1, 0 3, size 4][bytes] ──► stdout, stderr

Rules: one thread and one poll loop, so nothing is lost between two of them; what
we send waits in a buffer, so a peer that reads only after we read cannot block
us; the end of our input closes only our half of the connection.
"""

from __future__ import annotations

import os
import select
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

CHUNK_BYTES = 65536
HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2
DETACH_KEYS = "ctrl-p,ctrl-q"

ENDED, DETACHED = "ended", "detached"


class Demultiplexer:
    """Takes the bytes of a multiplexed stream and gives back (file descriptor, bytes)."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._target = STDOUT

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what of the payload these bytes hold, without waiting for whole frames."""
        while data:
            if self._left == 0:
                missing = HEADER.size - len(self._head)
                self._head, data = self._head + data[:missing], data[missing:]
                if len(self._head) < HEADER.size:
                    return
                kind, self._left = HEADER.unpack(self._head)
                # Frames of stdin come back as output; an error of the daemon's is kind 3.
                self._target = STDOUT if kind < STDERR else STDERR
                self._head = b""
                continue
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            yield self._target, part


class DetachKeys:
    """Watches input for the keys that mean: leave, but let it run."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._seen = 0

    def filter(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence was completed."""
        if not self._sequence:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._sequence[self._seen]:
                self._seen += 1
                if self._seen == len(self._sequence):
                    return bytes(passed), True
                continue
            # A beginning that led nowhere was ordinary input after all.
            passed += self._sequence[: self._seen]
            self._seen = 0
            if byte == self._sequence[0]:
                self._seen = 1
            else:
                passed.append(byte)
        return bytes(passed), False


def key_sequence(text: str) -> bytes:
    """Keys such as ``ctrl-p,ctrl-q`` or ``a,ctrl-@`` as bytes."""
    made = bytearray()
    for key in text.split(",") if text else ():
        if len(key) == 1:
            made += key.encode()
        elif (
            key.startswith("ctrl-")
            and len(key) == len("ctrl-") + 1
            and 64 <= ord(key[-1].upper()) < 96
        ):
            made.append(ord(key[-1].upper()) - 64)
        else:
            raise ValueError(f"Unknown character: '{key}'")
    return bytes(made)


def converse(sock: socket.socket, *, tty: bool, stdin: int | None, detach_keys: bytes = b"") -> str:
    """Carry bytes both ways until the other side is done, or the user leaves."""
    talk = _Talk(sock, tty=tty, stdin=stdin, detach_keys=detach_keys)
    sock.setblocking(False)
    try:
        return talk.run()
    finally:
        sock.close()


class _Talk:
    """The state of one conversation."""

    def __init__(
        self, sock: socket.socket, *, tty: bool, stdin: int | None, detach_keys: bytes
    ) -> None:
        self._sock = sock
        self._stdin = stdin
        self._keys = DetachKeys(detach_keys)
        self._frames = None if tty else Demultiplexer()
        self._unsent = b""
        self._closing = stdin is None
        self._half_closed = False

    def run(self) -> str:
        self._send()
        while True:
            ready = dict(self._poll())
            if self._stdin is not None and ready.get(self._stdin) and self._read_stdin():
                return DETACHED
            events = ready.get(self._sock.fileno(), 0)
            if events & select.POLLOUT:
                self._send()
            if events & ~select.POLLOUT and not self._receive():
                return ENDED

    def _poll(self) -> Iterable[tuple[int, int]]:
        poll = select.poll()
        wanted = select.POLLIN | (select.POLLOUT if self._unsent else 0)
        poll.register(self._sock, wanted)
        # What cannot be sent is not read either: the buffer stays one chunk.
        if self._stdin is not None and not self._unsent:
            poll.register(self._stdin, select.POLLIN)
        return poll.poll()

    def _read_stdin(self) -> bool:
        """Take input; True if it holds the keys that detach."""
        assert self._stdin is not None
        data = os.read(self._stdin, CHUNK_BYTES)
        if not data:
            self._stdin, self._closing = None, True
            self._send()
            return False
        self._unsent, detached = self._keys.filter(data)
        self._send()
        return detached

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # Nobody reads our input any more; what they wrote is still ours to read.
            self._stdin, self._unsent, self._half_closed = None, b"", True
        if self._closing and not self._half_closed:
            self._half_closed = True
            self._shut_down()

    def _shut_down(self) -> None:
        import socket

        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            import errno

            # The other side was quicker and is gone altogether.
            if error.errno != errno.ENOTCONN:
                raise

    def _receive(self) -> bool:
        """Print what came; False when nothing more will."""
        try:
            data = self._sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if self._frames is None:
            write_all(STDOUT, data)
        else:
            for target, part in self._frames.feed(data):
                write_all(target, part)
        return bool(data)


def write_all(target: int, data: bytes) -> None:
    """Write to a file descriptor until all is written."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            # Somebody sharing our terminal made it non-blocking.
            select.select([], [target], [])


def copy_output(chunks: Iterable[bytes], *, tty: bool) -> None:
    """Print an answer that is a stream of output, such as logs."""
    frames = Demultiplexer()
    for chunk in chunks:
        if tty:
            write_all(STDOUT, chunk)
            continue
        for target, part in frames.feed(chunk):
            write_all(target, part)
