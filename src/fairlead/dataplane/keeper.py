"""Published ports that no proxy serves: the port is held, and nobody is there.

The kernel leads every packet for such a port to its container. What comes here
all the same has not been led, and is refused as if the port were free; but no
other program can take it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.dns.message import IP

BURST = 64
RESET = struct.pack("=ii", 1, 0)


class Keeper:
    """Holds a socket; resets whoever connects to it, and drops datagrams."""

    def __init__(self, sock: socket.socket, ip: IP, port: int) -> None:
        self._sock = sock
        self._stream = sock.type == socket.SOCK_STREAM

    async def start(self) -> None:
        """Refuse from now on."""
        self._sock.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sock, self._refuse if self._stream else self._drop)

    def point(self, ip: IP, port: int) -> None:
        """Where the kernel leads packets makes no difference here."""

    async def close(self) -> None:
        """Let go of the port."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _refuse(self) -> None:
        for _ in range(BURST):
            try:
                client, _ = self._sock.accept()
            except OSError:
                # Nobody more, or one who has given up.
                return
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()

    def _drop(self) -> None:
        for _ in range(BURST):
            try:
                self._sock.recv(1)
            except OSError:
                # Nothing more, or an error about an earlier packet.
                return
