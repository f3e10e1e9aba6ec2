"""Sockets born in another network namespace.

Rule: the thread is back home before anything else runs, so this is for the
loop's thread only, and nothing in here awaits. A socket keeps the namespace it
was born in; there and back costs about ten microseconds.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from functools import cache

CLONE_NEWNET = 0x40000000


@cache
def _home() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def open_socket(namespace: int | None, family: int, kind: int) -> socket.socket:
    """A non-blocking socket in the namespace of that descriptor, or in our own."""
    kind |= socket.SOCK_NONBLOCK
    if namespace is None:
        return socket.socket(family, kind)
    home = _home()
    _setns(namespace)
    try:
        return socket.socket(family, kind)
    finally:
        try:
            _setns(home)
        except OSError:
            # To go on would serve every later socket from a stranger's namespace.
            os.abort()


if sys.version_info >= (3, 12):

    def _setns(namespace: int) -> None:
        os.setns(namespace, CLONE_NEWNET)

else:

    def _setns(namespace: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
