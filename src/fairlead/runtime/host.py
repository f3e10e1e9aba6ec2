"""What this host offers a container: read once, then a value.

The only part of making a spec that looks at the machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.container import Device
from fairlead.model.errors import Failed
from fairlead.runtime.capability import from_mask
from fairlead.runtime.seccomp import ARCHES

SECCOMP = Path("/usr/share/containers/seccomp.json")

# Only static ones: the container's own libraries must not matter.
INITS = (
    "/usr/bin/docker-init",
    "/usr/libexec/docker/docker-init",
    "/usr/bin/tini-static",
    "/usr/libexec/podman/catatonit",
    "/usr/bin/catatonit",
)


@dataclass(frozen=True, slots=True)
class Host:
    """Facts that shape every spec."""

    machine: str = "x86_64"
    kernel: tuple[int, int] = (6, 1)
    capabilities: tuple[str, ...] = ()
    seccomp: Mapping[str, Any] | None = None
    init: str = ""
    swap_limit: bool = True
    cgroup2: bool = False


def look() -> Host:
    """Read the facts."""
    name = os.uname()
    major, minor = name.release.split(".")[:2]
    cgroup2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return Host(
        machine=name.machine,
        kernel=(int(major), int("".join(c for c in minor if c.isdigit()) or 0)),
        capabilities=from_mask(_bounding()),
        seccomp=msgspec.json.decode(SECCOMP.read_bytes()) if SECCOMP.exists() else None,
        init=next((path for path in INITS if os.access(path, os.X_OK)), ""),
        swap_limit=cgroup2 or Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
        cgroup2=cgroup2,
    )


def _bounding() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


@dataclass(frozen=True, slots=True)
class Node:
    """A device node to make in a container."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


def nodes(device: Device) -> Iterator[Node]:
    """The node a device names, or every node below it if it is a directory."""
    source, target = device.source, device.target or device.source
    try:
        found = os.stat(source)
    except OSError as error:
        raise Failed(
            f'error gathering device information while adding custom device "{source}": '
            "no such file or directory"
        ) from error
    if stat.S_ISDIR(found.st_mode):
        yield from _below(source, target)
        return
    node = _node(target, found)
    if node is None:
        raise Failed(
            f'error gathering device information while adding custom device "{source}": '
            "not a device node"
        )
    yield node


def every_node() -> Iterator[Node]:
    """All device nodes of the host, for a privileged container."""
    yield from _below("/dev", "/dev")


# The runtime makes its own of these, or they belong to the host's terminals.
_OWN = {"pts", "shm", "fd", "mqueue", "console", "ptmx", "tty", "stdin", "stdout", "stderr"}


def _below(source: str, target: str) -> Iterator[Node]:
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if source == "/dev" and entry.name in _OWN:
                continue
            inside = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, inside)
            elif node := _node(inside, entry.stat(follow_symlinks=False)):
                yield node


def _node(path: str, found: os.stat_result) -> Node | None:
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        return None
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return Node(path, kind, major, minor, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def machine() -> str:
    """This machine's architecture in the words of images."""
    return ARCHES.get(os.uname().machine, (os.uname().machine, ""))[0]
