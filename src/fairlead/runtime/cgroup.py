"""A container's control groups: who is in them, and clearing them away."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Version 1 has a tree for each controller; any that holds every process will do.
_TREES = ("pids", "devices", "freezer", "systemd", "unified")


def pids(path: str) -> list[int]:
    """Every process in a group and the groups below it, lowest first."""
    for tree in (ROOT, *(ROOT / name for name in _TREES)):
        group = tree / path.lstrip("/")
        if group.is_dir():
            return sorted(set(_pids(group)))
    return []


def _pids(group: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(group):
        try:
            text = Path(directory, "cgroup.procs").read_text()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            continue  # The group went away while we looked.
        yield from (int(word) for word in text.split())


def remove_empty(path: str) -> None:
    """Remove a group from every hierarchy where nothing is in it."""
    for tree in (ROOT, *(ROOT / entry for entry in os.listdir(ROOT))):
        try:
            os.rmdir(tree / path.lstrip("/"))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTDIR, errno.ENOTEMPTY):
                raise
