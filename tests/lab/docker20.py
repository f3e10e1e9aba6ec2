"""A Docker 20.10 daemon in a machine, the last that knows `--cluster-store`: Debian's, unpacked.

It is a member of a cluster whose store somebody else runs; gossip is on 7946 and the overlay on
4789, as its users have it. The store is etcd, asked by its v2 API (`etcd --enable-v2`): Debian
builds Docker without Consul.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.daemon import Daemon
from tests.lab.debian import unpacked
from tests.lab.machine import Machine

PROGRAMS = (
    ("docker.io", "usr/sbin"),
    ("docker.io", "usr/bin"),
    ("containerd", "usr/bin"),
)
PORT = 2376
"""What it announces beside its address; nobody listens there."""


class Docker20(Daemon):
    """Docker's daemon on a machine: everything a `Daemon` can do, and no pid file."""

    def __init__(self, machine: Machine, *flags: str) -> None:
        super().__init__(machine, *flags, command=_dockerd())


@contextmanager
def docker20(
    machine: Machine, store_url: str, advertise: str = "eth0", *flags: str
) -> Iterator[Docker20]:
    """Runs Docker 20.10 as a member of a cluster; `socket` is its API, `docker()` the CLI on it.

    `store_url` is as `etcd://192.0.2.1:2379`, with a prefix if wanted; `advertise` is an interface
    or an address of the machine. The image `busybox` is there.
    """
    cluster = (f"--cluster-store={store_url}", f"--cluster-advertise={advertise}:{PORT}")
    with Docker20(machine, *cluster, *flags) as daemon:
        daemon.import_busybox()
        yield daemon


def _dockerd() -> list[str]:
    """The command of Debian's dockerd, which starts its containerd itself."""
    folders = [str(unpacked(package) / inside) for package, inside in PROGRAMS]
    path = ":".join([*folders, "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"])
    return [
        "env", f"PATH={path}", "dockerd", "--host", "unix:///run/docker.sock",
        "--storage-driver", "overlay2",
    ]  # fmt: skip
