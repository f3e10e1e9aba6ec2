"""How daemon and dataplane talk: JSON messages, and file descriptors beside them.

Rule: one request, one reply, in turn. A message is four bytes of length and
that much JSON; its descriptors travel with the first byte, so that they belong
to exactly one message. Who receives a descriptor owns it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A change of this number means an older process cannot serve a newer daemon.
PROTOCOL = 4
LARGEST_BYTES = 64 << 20
# The kernel passes at most 253 in one message (SCM_MAX_FD).
MOST_DESCRIPTORS = 250
CHUNK_BYTES = 1 << 18


class Channel:
    """One end of a connected stream socket; close it after any error."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    async def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one message; the descriptors stay open on this side."""
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) > LARGEST_BYTES:
            raise ValueError(f"a message of {len(body)} bytes is over {LARGEST_BYTES}")
        wire = len(body).to_bytes(4) + body
        loop = asyncio.get_running_loop()
        while True:
            try:
                sent = socket.send_fds(self._sock, [wire[:CHUNK_BYTES]], descriptors)
                break
            except BlockingIOError:
                await _ready(self._sock, loop.add_writer, loop.remove_writer)
        if sent < len(wire):
            await loop.sock_sendall(self._sock, memoryview(wire)[sent:])

    async def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Receive one message and its descriptors, or None when the other side is gone."""
        descriptors: list[int] = []
        try:
            head = await self._exactly(4, descriptors)
            if not head:
                return None
            length = int.from_bytes(head)
            if length > LARGEST_BYTES:
                raise ConnectionError(f"a message of {length} bytes is announced")
            body = await self._exactly(length, descriptors)
            if len(body) < length:
                raise ConnectionError("the other side left in the middle of a message")
            message = json.loads(body)
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, descriptors

    async def _exactly(self, length: int, descriptors: list[int]) -> bytearray:
        """Read `length` bytes, fewer only if the other side closes before."""
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < length:
            want = min(length - len(data), CHUNK_BYTES)
            try:
                part, fds, _, _ = socket.recv_fds(self._sock, want, MOST_DESCRIPTORS)
            except BlockingIOError:
                await _ready(self._sock, loop.add_reader, loop.remove_reader)
                continue
            for fd in fds:
                os.set_inheritable(fd, False)
            descriptors += fds
            if not part:
                break
            data += part
        return data

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


async def _ready(
    sock: socket.socket,
    add: Callable[[socket.socket, Callable[[], None]], None],
    remove: Callable[[socket.socket], bool],
) -> None:
    """Wait until the loop's `add` (reader or writer) reports the socket."""
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
