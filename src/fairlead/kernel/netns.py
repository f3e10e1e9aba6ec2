"""Network namespaces: make, pin, enter, let go.

A pinned namespace is an nsfs file bound to a path; it lives as long as the pin,
a process in it, or an open socket of it. `setns` moves one thread only, so
everything here runs on the one kernel thread, which is in a foreign namespace
only inside `entered`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.kernel.sysctl import write_sysctl
from fairlead.model.sandbox import ADOPTED

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
NS_GET_NSTYPE = 0xB703
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


class Namespaces:
    """The namespaces pinned in one folder, and the one that the daemon is in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._here = self._host

    def close(self) -> None:
        os.close(self._host)

    def path(self, name: str) -> Path:
        return self.folder / name

    def names(self) -> list[str]:
        """Names that are pinned now; a plain file left by a crash is none."""
        return sorted([*self._pins(), *self._pins(ADOPTED)])

    def sweep(self) -> None:
        """Remove the files of namespaces that were never pinned: their maker was killed."""
        for entry in list(os.scandir(self.folder)):
            if entry.is_file(follow_symlinks=False) and not self._pinned(entry.path):
                os.unlink(entry.path)

    def open(self, name: str) -> int:
        """A descriptor of a pinned namespace, or of the host's; OSError ENOENT if there is none."""
        if not name:
            return os.dup(self._host)
        # Text, not a Path: a change opens a namespace five times and more.
        path = f"{self._place}/{name}"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if not is_namespace(fd):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "no namespace is pinned there", path)
        return fd

    def make(self, name: str) -> None:
        """Make and pin a namespace: loopback up, IPv6 off on interfaces to come."""
        path = self.path(name)
        if self._pinned(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        _call("unshare", CLONE_NEWNET)
        try:
            self.raise_loopback()
            _prepare()
            self.pin(path, "/proc/thread-self/ns/net")
        finally:
            _call("setns", self._host, CLONE_NEWNET)

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Be in a new namespace that nobody knows, and that goes when it is left."""
        before = self._here
        _call("unshare", CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", before, CLONE_NEWNET)

    def pin(self, path: Path, source: str) -> None:
        """Bind a namespace to a path, where it lives on."""
        if self._pinned(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o444))
        try:
            _call("mount", os.fsencode(source), os.fsencode(path), None, MS_BIND, None)
        except BaseException:
            path.unlink()
            raise

    def drop(self, name: str) -> None:
        """Let go of a namespace. What is in it goes when nobody else holds it."""
        path = self.path(name)
        try:
            _call("umount2", os.fsencode(path), MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
        path.unlink(missing_ok=True)

    @contextmanager
    def entered(self, name: str) -> Iterator[int]:
        """Be in a namespace (the host's for an empty name); yields its descriptor."""
        if not name:
            with self.entered_at(self._host):
                yield self._host
            return
        fd = self.open(name)
        try:
            with self.entered_at(fd):
                yield fd
        finally:
            os.close(fd)

    @contextmanager
    def entered_at(self, fd: int) -> Iterator[None]:
        """Be in the namespace of a descriptor, and then again where we were."""
        before, self._here = self._here, fd
        if fd != before:
            _call("setns", fd, CLONE_NEWNET)
        try:
            yield
        finally:
            self._here = before
            if fd != before:
                _call("setns", before, CLONE_NEWNET)

    def raise_loopback(self) -> None:
        """In the namespace that the thread is in: names are served at an address of it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            request = struct.pack("=16sh14x", b"lo", 0)
            flags = struct.unpack("=16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("=16sh14x", b"lo", flags | IFF_UP))

    def _pins(self, below: str = "") -> Iterator[str]:
        try:
            entries = os.scandir(self.folder / below)
        except FileNotFoundError:
            return
        with entries:
            yield from (
                f"{below}/{entry.name}" if below else entry.name
                for entry in entries
                if self._pinned(entry.path)
            )

    def _pinned(self, path: str | Path) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return is_namespace(fd)
        finally:
            os.close(fd)


def is_namespace(fd: int) -> bool:
    """Whether a descriptor is of a network namespace."""
    try:
        return fcntl.ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError as error:
        if error.errno == errno.ENOTTY:
            return False
        raise


def _prepare() -> None:
    """In a new namespace: interfaces get IPv6 only when asked for."""
    try:
        write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
    except FileNotFoundError:
        # This kernel has no IPv6 to turn off.
        return
