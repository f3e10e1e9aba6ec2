"""Namespaces that somebody else made: look at one, pin it, leave it as it is.

What tells them apart is the kernel's cookie of a namespace, which no other gets until
the next boot, together with that boot's id: numbers of inodes and processes come again.
A pin keeps the namespace, so a process that ends takes nothing of it along.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import replace
from functools import cache
from pathlib import Path

from fairlead.kernel import rtrows
from fairlead.kernel.netlink import Socket
from fairlead.kernel.netns import Namespaces, is_namespace
from fairlead.kernel.nft import redirected
from fairlead.kernel.port import Place
from fairlead.model.errors import Invalid, NotFound
from fairlead.model.sandbox import ADOPTED
from fairlead.model.state import HOST, Namespace

SO_NETNS_COOKIE = 71
BOOT = Path("/proc/sys/kernel/random/boot_id")


def look(namespaces: Namespaces, where: str) -> Place:
    """The namespace at an absolute path, or the one that is pinned under a name."""
    if where.startswith("/"):
        return _stranger(namespaces, where)
    fd = _open(str(namespaces.path(where)))
    try:
        with namespaces.entered_at(fd):
            return replace(_here(), pin=where)
    finally:
        os.close(fd)


def _stranger(namespaces: Namespaces, path: str) -> Place:
    """A namespace that we may not know yet, with all that speaks against adopting it."""
    fd = _open(path)
    try:
        inode = os.fstat(fd).st_ino
        with namespaces.entered_at(fd):
            place = _here()
            served = redirected()
    finally:
        os.close(fd)
    if place.identity == _identity():
        raise Invalid(
            f"{path} is the host's own network namespace",
            hint="make one with `ip netns add`, or let fairlead make it",
        )
    pins = (n for n in namespaces.names() if os.stat(namespaces.path(n)).st_ino == inode)
    return replace(place, pin=next(pins, ""), served=served)


def _here() -> Place:
    """The namespace that the thread is in."""
    with Socket() as netlink:
        names = {row.index: row.name for row in rtrows.links(netlink)}
        rows = rtrows.routes(netlink, HOST, names)
    found = (row.route for row in rows if not row.route.table)
    ways = {route.destination.version for route in found if not route.destination.prefixlen}
    return Place(_identity(), frozenset(names.values()), tuple(sorted(ways)))


def make(namespaces: Namespaces, space: Namespace) -> None:
    """Make a namespace, or pin the one that is meant if it still is there. Raises OSError."""
    if space.identity:
        _adopt(namespaces, space)
    else:
        namespaces.make(space.name)


def _adopt(namespaces: Namespaces, space: Namespace) -> None:
    """Pin a namespace and raise its loopback; nothing else in it is touched."""
    path = namespaces.path(space.name)
    try:
        fd = _open(space.source)
    except (NotFound, Invalid) as error:
        raise FileNotFoundError(errno.ENOENT, error.message, space.source) from error
    try:
        with namespaces.entered_at(fd):
            if _identity() != space.identity:
                raise FileNotFoundError(errno.ENOENT, "another one is there now", space.source)
            namespaces.raise_loopback()
        path.parent.mkdir(exist_ok=True)
        namespaces.pin(path, f"/proc/thread-self/fd/{fd}")
    finally:
        os.close(fd)


def identity_of(namespaces: Namespaces, name: str) -> str:
    """What the kernel calls somebody else's namespace that is pinned; nothing for our own."""
    if not name.startswith(f"{ADOPTED}/"):
        return ""
    with namespaces.entered(name):
        return _identity()


def _open(path: str) -> int:
    try:
        # Only a look at what it is can tell whether it may be opened: a pipe would wait.
        plain = stat.S_ISREG(os.stat(path).st_mode)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if plain else -1
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        raise NotFound(
            f"no network namespace at {path}",
            hint="`ip netns list` shows those with names; of a process it is /proc/PID/ns/net",
        ) from None
    except (OSError, ValueError) as error:
        raise Invalid(f"{path!r} cannot be opened: {error}") from None
    if fd < 0 or not is_namespace(fd):
        if fd >= 0:
            os.close(fd)
        raise Invalid(f"{path} is no network namespace")
    return fd


def _identity() -> str:
    """Of the namespace that the thread is in."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        cookie = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little")
    return f"{_boot()}-{cookie}"


@cache
def _boot() -> str:
    return BOOT.read_text().strip().replace("-", "")[:12]
