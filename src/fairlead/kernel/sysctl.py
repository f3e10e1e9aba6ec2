"""Settings below /proc/sys, of the namespace that the thread is in.

The kernel keeps a name in its cache for each namespace in which it was looked up,
under the same parent: among a thousand namespaces each look-up compares a thousand
of them, 2 ms to open one file. A procfs of our own, mounted nowhere and replaced
now and then, has few. Where that is not allowed the usual one does.
"""

from __future__ import annotations

import ctypes
import os
import threading

FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
"""The same on every architecture."""
CLOEXEC, CREATE = 1, 6
MOST_USES = 128
_libc = ctypes.CDLL(None, use_errno=True)


class Procfs:
    """A folder like /proc, another one after so many uses. `fsopen` is the call that begins it."""

    def __init__(self, fsopen: int = FSOPEN) -> None:
        self._fsopen = fsopen
        self._lock = threading.Lock()
        self._folder = -1
        self._uses = 0

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a file in it."""
        with self._lock:
            if self._folder < 0 or self._uses >= MOST_USES:
                self._renew()
            self._uses += 1
            return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._folder)

    def _renew(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
        try:
            self._folder = _mounted(self._fsopen)
        except OSError:
            self._folder = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        self._uses = 0


_procfs = Procfs()


def read_sysctl(path: str) -> str:
    """The value at a path such as ``net/ipv4/ip_forward``."""
    with open(_procfs.open(f"sys/{path}", os.O_RDONLY), encoding="utf-8") as file:
        return file.read().strip()


def write_sysctl(path: str, value: str) -> None:
    with open(_procfs.open(f"sys/{path}", os.O_WRONLY), "w", encoding="utf-8") as file:
        file.write(value)


def spare_bridges() -> None:
    """Let what crosses the bridges of the namespace that the thread is in be asked of no rules.

    With br_netfilter loaded, each frame is taken through the hooks of IP as if it were routed,
    in every namespace: a tenth of what an overlay can carry, where there are no rules at all.
    """
    for family in ("ip", "ip6", "arp"):
        try:
            write_sysctl(f"net/bridge/bridge-nf-call-{family}tables", "0")
        except FileNotFoundError:
            # Nobody has loaded it.
            return


def _mounted(fsopen: int) -> int:
    """A procfs that is mounted nowhere: it goes when it is closed."""
    context = _call(fsopen, b"proc", CLOEXEC)
    try:
        _call(FSCONFIG, context, CREATE, None, None, 0)
        return _call(FSMOUNT, context, CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    found = int(_libc.syscall(number, *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found
