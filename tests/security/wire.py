"""A wire: an interface of a place, on which frames are sent and heard as they are.

Absence is shown by a barrier, not by waiting: after the attack a harmless frame takes the same
way, and when it has arrived the attack has had its chance.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.security import frames
from tests.security.frames import Seen
from tests.security.place import Place

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
BUFFER_BYTES = 8 << 20
PATIENCE_SECONDS = 60.0


class Wire:
    """An interface, heard from now to the end of the block."""

    def __init__(self, place: Place, ifname: str = "eth0", *, outgoing: bool = False) -> None:
        self.mac = place.mac(ifname)
        self.heard: list[Seen] = []
        self._sock = place.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        if not outgoing:
            self._sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._sock.bind((ifname, ETH_P_ALL))
        self._sock.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._sock.close()

    def send(self, frame: bytes) -> None:
        """Sends a frame as it is."""
        self._sock.send(frame)

    def send_ip(self, to: bytes, packet: bytes, source: bytes | None = None) -> None:
        """Sends a packet in a frame to a station."""
        kind = frames.ETH_IP if packet[0] >> 4 == 4 else frames.ETH_IP6
        self.send(frames.ethernet(to, source or self.mac, kind, packet))

    def listen(self, seconds: float = 0) -> list[Seen]:
        """Takes in what has arrived, waiting so long for the first; returns what is new."""
        new: list[Seen] = []
        readable, _, _ = select.select([self._sock], [], [], seconds)
        while readable:
            try:
                new.append(frames.read(self._sock.recv(65536)))
            except BlockingIOError:
                break
        self.heard += new
        return new

    def until(self, wanted: Callable[[Seen], bool], poke: Callable[[], object]) -> Seen:
        """Pokes and listens until a frame is as wanted; what came before is in `heard`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            poke()
            for seen in self.listen(0.3):
                if wanted(seen):
                    return seen
        raise AssertionError(f"the frame that should come did not; heard {self.heard[-20:]}")
