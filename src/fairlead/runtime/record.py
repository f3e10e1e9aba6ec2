"""What the daemon remembers of a container, so that the next daemon finds it.

One small file for each container, written before the first process of it is
started and removed after the last trace is gone. Process ids are stored with
their start time and the boot they belong to: a number alone may by now be
somebody else.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One container that this run directory knows."""

    id: str
    runtime: str
    bundle: str
    cgroup: str
    terminal: bool = False
    pid: int = 0
    pid_started: int = 0
    conmon: int = 0
    conmon_started: int = 0
    boot: str = ""
    started: bool = False


def boot() -> str:
    """This boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started_at(pid: int) -> int:
    """When a process began, in ticks since boot; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The command's name may contain anything; fields count from behind its last bracket.
    return int(text.rpartition(")")[2].split()[19])


def write(directory: Path, record: Record) -> None:
    """Store a record, whole or not at all."""
    path = directory / f"{record.id}.json"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(record))
    os.replace(fresh, path)


def read(directory: Path) -> list[Record]:
    """Every record, in no order. One that was being written when the daemon died is dropped."""
    for cut_short in directory.glob("*.new"):
        cut_short.unlink()
    return [
        msgspec.json.decode(path.read_bytes(), type=Record) for path in directory.glob("*.json")
    ]


def forget(directory: Path, container: str) -> None:
    """Remove a record; it may be gone already."""
    (directory / f"{container}.json").unlink(missing_ok=True)
