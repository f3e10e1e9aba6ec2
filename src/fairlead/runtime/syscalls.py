"""The few Linux calls that Python 3.11 has no function for.

Each raises `OSError` with the kernel's errno and does nothing else. ctypes
releases the interpreter's lock around the call, so a slow one belongs in a
thread, not in front of the loop.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

MNT_DETACH = 0x2

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_NONBLOCK = 0o4000
IN_CLOEXEC = 0o2000000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10

_OPENAT2 = 437
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: str, fstype: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system, or change a mount's flags or propagation."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            fstype.encode() or None,
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        target,
    )


def unmount(target: str, flags: int = 0) -> None:
    """Unmount what is on top at a place."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def open_in(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as if `root` were /: no link and no ``..`` leads out of it."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    while True:
        try:
            return _check(
                int(
                    _libc.syscall(
                        ctypes.c_long(_OPENAT2),
                        ctypes.c_int(root),
                        os.fsencode(path),
                        how,
                        ctypes.c_size_t(len(how)),
                    )
                ),
                path,
            )
        except OSError as error:
            # The kernel asks for another try when a rename elsewhere raced the walk.
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise


def inotify() -> int:
    """Open a non-blocking inotify descriptor."""
    return _check(int(_libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), "inotify")


def inotify_add(fd: int, path: str, mask: int) -> int:
    """Watch a path."""
    return _check(int(_libc.inotify_add_watch(fd, os.fsencode(path), mask)), path)


def syncfs(fd: int) -> None:
    """Write out the file system a descriptor is on."""
    _check(_libc.syncfs(fd), "syncfs")
