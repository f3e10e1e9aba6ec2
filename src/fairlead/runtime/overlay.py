"""What a container wrote, read off the upper half of its overlay.

overlayfs keeps a changed file as a copy, a removed one as a device node 0:0,
and marks a directory that hides the one below it as opaque.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MODIFIED, ADDED, DELETED = 0, 1, 2

# Every container gets these, whatever its image has: they are nobody's change.
_OURS = {
    "/.dockerenv", "/dev", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf",
    "/proc", "/run/secrets", "/sys",
}  # fmt: skip


def written_bytes(upper: Path) -> int:
    """How much the container's files take beyond its image."""
    total = 0
    for directory, _, names in os.walk(upper):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(directory, name))
                if stat.S_ISREG(found.st_mode):
                    total += found.st_size
    return total


def changes(upper: Path, lower: Path) -> list[tuple[str, int]]:
    """Every changed path with its kind, sorted."""
    return sorted(_below(upper, lower, "/"))


def _below(upper: Path, lower: Path, where: str) -> Iterator[tuple[str, int]]:
    with os.scandir(upper) as entries:
        found = list(entries)
    names = {entry.name for entry in found}
    if _is_opaque(upper) and lower.is_dir() and not lower.is_symlink():
        for name in sorted(os.listdir(lower)):
            if name not in names:
                yield where + name, DELETED
    for entry in found:
        path = where + entry.name
        if path in _OURS:
            continue
        under = lower / entry.name
        there = os.path.lexists(under) and not lower.is_symlink()
        if _is_whiteout(entry):
            yield path, DELETED
        elif not entry.is_dir(follow_symlinks=False):
            yield path, MODIFIED if there else ADDED
        else:
            inner = list(_below(Path(entry.path), under, path + "/"))
            if inner or not there:
                yield path, MODIFIED if there else ADDED
            yield from inner


def _is_whiteout(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(directory: Path) -> bool:
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False  # No such mark, or a file system without marks.
