"""Who holds a port: from /proc/net to the process that has the socket open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LISTEN = "0A"


def holder(protocol: str, version: int, port: int) -> str:
    """The process that holds a port of this host, as "pid 12 (nginx)"; empty if unknown."""
    families = ("", "6") if version == 4 else ("6", "")
    inodes = {inode for family in families for inode in _inodes(f"{protocol}{family}", port)}
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and not wanted.isdisjoint(_sockets(entry.path)):
            with suppress(OSError):
                name = Path(entry.path, "comm").read_text().strip()
                return f"pid {entry.name} ({name})"
    return ""


def _inodes(table: str, port: int) -> Iterator[str]:
    try:
        lines = Path("/proc/thread-self/net", table).read_text().splitlines()[1:]
    except FileNotFoundError:
        return
    for line in lines:
        words = line.split()
        local = words[1].rsplit(":", 1)[1]
        if int(local, 16) == port and (table.startswith("udp") or words[3] == LISTEN):
            yield words[9]


def _sockets(process: str) -> Iterator[str]:
    # Processes end while one looks at them.
    with suppress(OSError):
        for entry in os.scandir(f"{process}/fd"):
            with suppress(OSError):
                yield os.readlink(entry.path)
