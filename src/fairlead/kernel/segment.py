"""A link's segment, on which DHCP is spoken for those who have no interface there yet.

Frames leave by the link itself, under the MAC of whoever they are for. What comes back is
seen before the kernel hands it to a link on that parent, or drops it: so it makes no
difference whether that one exists already. A filter in the kernel lets nothing else come
here than packets for a DHCP client that are in no VLAN of the link's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import Self

from fairlead.dhcp.frame import CLIENT_PORT, IPV4, UDP
from fairlead.kernel.filter import attach
from fairlead.model.errors import Failed, Unavailable

ETH_P_ALL = 0x0003
ETHERNET = 1
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_IGNORE_OUTGOING = 263, 1, 23
PACKET_MR_UNICAST = 3
MOST_BYTES = 4096
GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENETDOWN})

VLAN_PRESENT = 0xFFFFF000 + 48
"""What the kernel knows of a packet beside its bytes: SKF_AD_VLAN_TAG_PRESENT."""
FILTER = (
    (0x30, 0, 0, VLAN_PRESENT),
    (0x15, 0, 10, 0),
    (0x28, 0, 0, 12),
    (0x15, 0, 8, IPV4),
    (0x30, 0, 0, 23),
    (0x15, 0, 6, UDP),
    (0x28, 0, 0, 20),
    (0x45, 4, 0, 0x3FFF),
    (0xB1, 0, 0, 14),
    (0x48, 0, 0, 16),
    (0x15, 0, 1, CLIENT_PORT),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""In the words of classic BPF: no tag; IPv4; UDP; no fragment; past a header of any length,
the port."""


class Segment:
    """A socket on one link of the host's; it hears what is for `mac` as well as broadcasts."""

    def __init__(self, link: str, mac: bytes = b"") -> None:
        self.link = link
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        # Nothing comes before there is a filter.
        self._sock = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            self.mac = self._open(mac)
        except OSError as error:
            self._sock.close()
            raise self._failed(error) from error
        except BaseException:
            self._sock.close()
            raise

    def _open(self, mac: bytes) -> bytes:
        attach(self._sock, FILTER)
        # What leaves by the link is no answer: a container there may forge one.
        self._sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._sock.bind((self.link, ETH_P_ALL))
        _, _, _, kind, own = self._sock.getsockname()
        if kind != ETHERNET:
            raise Failed(f"{self.link} is no Ethernet, so there is no DHCP on it")
        if mac and mac != own:
            index = socket.if_nametoindex(self.link)
            asked = struct.pack("=iHH8s", index, PACKET_MR_UNICAST, len(mac), mac)
            self._sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, asked)
        return bytes(own)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, frame: bytes) -> None:
        """Put a frame on the segment. Raises Unavailable when the link is down or gone."""
        try:
            self._sock.send(frame)
        except BlockingIOError:
            # Its queue is full: as if the frame had been lost on the way.
            return
        except OSError as error:
            raise self._failed(error) from error

    async def receive(self) -> bytes:
        """The next frame for a DHCP client. Raises Unavailable when the link is down or gone."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._sock, MOST_BYTES)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Hear no more."""
        self._sock.close()

    def _failed(self, error: OSError) -> Failed | Unavailable:
        code = error.errno or 0
        if code in GONE:
            state = "down" if code == errno.ENETDOWN else "not on this host"
            return Unavailable(f"{self.link} is {state}", hint="`ip link` shows it")
        return Failed(f"DHCP cannot be spoken on {self.link}: {os.strerror(code).lower()}")
