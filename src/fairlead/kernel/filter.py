"""Classic BPF on sockets: the kernel sorts out what nobody is to hear (filter.h, socket(7))."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
Word = tuple[int, int, int, int]
"""An instruction: code, jump if true, jump if false, operand."""
NOTHING: tuple[Word, ...] = ((0x06, 0, 0, 0),)
"""Keeps no packet."""


def attach(sock: socket.socket, program: Iterable[Word]) -> None:
    """Let a socket hear only what a program keeps."""
    words = [struct.pack("=HBBI", *word) for word in program]
    code = b"".join(words)
    kept = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(words), ctypes.addressof(kept))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


def detach(sock: socket.socket) -> None:
    """Let a socket hear everything, if it did not."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
