"""A place: a network namespace in which the tests open sockets, without a process of their own.

A socket stays in the namespace it was born in, so one test process can speak from any number of
places at once. A thread that lives for one call goes there; nobody else ever leaves home.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.lab import Daemon, Machine

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
SIOCGIFHWADDR = 0x8927


class Place:
    """A network namespace, held open until it is closed."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets the namespace go."""
        os.close(self._fd)

    def there(self, work: Callable[[], T]) -> T:
        """Calls something in the namespace."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(self._fd, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns into {self.name}")
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again by the caller below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Opens a socket there."""
        return self.there(lambda: socket.socket(family, kind, protocol))

    def mac(self, ifname: str) -> bytes:
        """Returns the Ethernet address of an interface there."""
        with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            found = fcntl.ioctl(sock, SIOCGIFHWADDR, struct.pack("16s240x", ifname.encode()))
        return found[18:24]

    def sysctl(self, path: str) -> str:
        """Returns a setting below /proc/sys as it is there."""
        return self.there(lambda: Path("/proc/sys", path).read_text().strip())


def of_machine(machine: Machine) -> Place:
    """The place of a machine."""
    return Place(machine.name, Path(f"/proc/{machine.pid}/ns/net"))


def of_container(daemon: Daemon, name: str) -> Place:
    """The place of a running container."""
    pid = daemon.api("GET", f"/containers/{name}/json").json["State"]["Pid"]
    assert pid, f"{name} does not run"
    return Place(name, daemon.machine.path(f"/proc/{pid}/ns/net"))
