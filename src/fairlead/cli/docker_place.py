"""Docker's own folder of namespaces, for those whose fingers know it.

`ln -s /var/run/docker/netns /var/run/netns` is in every tutorial. Where the daemon listens on
Docker's socket it stands in Docker's place, and that path leads to our namespaces, unless
something else is there. Where it does not, Docker may run beside it and must not find our
folder under its path: it would keep its namespaces among ours.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

SOCKET = Path("/run/docker.sock")
FOLDER = Path("/run/docker/netns")


def in_dockers_place(hosts: Iterable[str], sockets: Iterable[socket.socket]) -> bool:
    """Whether clients who look for Docker find us."""
    given = [host.removeprefix("unix://") for host in hosts if host.startswith("unix://")]
    if any(host.startswith("fd://") for host in hosts):
        names = (s.getsockname() for s in sockets if s.family == socket.AF_UNIX)
        given += [name for name in names if isinstance(name, str)]
    return any(Path(path).resolve() == SOCKET.resolve() for path in given)


def lead_to(namespaces: Path, ours: bool, folder: Path = FOLDER) -> None:
    """Let Docker's path lead to our namespaces, or take back that it does."""
    if folder.is_symlink():
        if not ours and folder.readlink() == namespaces:
            folder.unlink()
    elif ours and not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        folder.symlink_to(namespaces)
