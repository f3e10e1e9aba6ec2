"""Two whole daemons out of one process that has read their program: the dear part of a start where
the processor is emulated.

`python -m tests.overlay.begin_both FOLDER FLAG…` begins a daemon on each of h1 and h2 and prints
their pids. Each is in that network namespace and has a name, /run, /sys and /var/lib of its own;
its socket is in the folder, and what it writes.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import fairlead.cli.daemon
import fairlead.store.etcd3  # noqa: F401 - a daemon reads it when it is configured
from fairlead.cli.main import main
from tests.lab.busybox import BUSYBOX

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x20000, 0x4000000, 0x40000000

FURNISH = r"""
B=/bin/busybox
$B mount --make-rprivate /
$B mount -t tmpfs -o mode=755 lab /run
$B mount -t tmpfs -o mode=755 lab /var/lib
$B mount -t sysfs sysfs /sys
$B mount -t cgroup2 cgroup2 /sys/fs/cgroup
$B hostname $1
"""


def move(name: str) -> None:
    """This process goes to a host."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as space:
        if libc.setns(space.fileno(), CLONE_NEWNET) or libc.unshare(CLONE_NEWNS | CLONE_NEWUTS):
            raise OSError(ctypes.get_errno(), name)
    subprocess.run([BUSYBOX, "sh", "-euc", FURNISH, "sh", name], check=True)


def begin(name: str, address: str, folder: Path, flags: list[str]) -> int:
    """A daemon, which goes on by itself."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    with (folder / f"{name}.log").open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    move(name)
    own = [f"--host=unix://{folder}/{name}.sock", f"--cluster-advertise={address}:2376"]
    status = main(["daemon", *own, *flags])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    for number in (1, 2):
        print(begin(f"h{number}", f"192.0.2.{number}", Path(sys.argv[1]), sys.argv[2:]))
