"""A daemon on a machine that it can write to only where it must, for requests drawn at random."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.lab import Daemon, Machine

PATIENCE_SECONDS = 30


@contextmanager
def caged() -> Iterator[Daemon]:
    """The daemon, with the image `busybox`."""
    with Machine() as machine:
        # A bind mount asked for at random must make no folder on the machine of the tests.
        machine.shell("mount -o remount,bind,ro /")
        with Daemon(machine) as running:
            running.import_busybox()
            yield running


def connect(daemon: Daemon) -> socket.socket:
    """A connection to the API."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_SECONDS)
    sock.connect(str(daemon.socket))
    return sock


def converse(daemon: Daemon, data: bytes) -> bytes:
    """Everything that is answered to these bytes, after which the client sends no more."""
    with connect(daemon) as sock:
        # If it would not take all of it, what it has to say can still be read.
        with suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        heard = b""
        try:
            while piece := sock.recv(65536):
                heard += piece
        except ConnectionResetError:
            return heard
        return heard
