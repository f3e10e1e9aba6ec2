"""A machine: namespaces of its own for network, mounts, processes, host name and IPC.

It sees the host's programs and libraries, and has a /run, /tmp, /var/lib, /var/tmp and /etc of
its own (the last an overlay, so it starts as the host's). Cgroups are the host's: what
processes of the machine leave there is removed at the end.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.lab import snapshot
from tests.lab.debian import CACHE
from tests.lab.keeper import Keeper, KeeperFailed
from tests.lab.process import Process, status_text

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CGROUPS = Path("/sys/fs/cgroup")
KINDS = ("net", "mount", "uts", "ipc")

FURNISHED = "/run/.lab/etc"

# $1 is the host name, $2… are folders that must stay visible though a private one covers them.
FURNISH = r"""
# The host's are taken away rather than covered: programs that read mountinfo would see both.
umount -R -l /proc
mount -t proc proc /proc
name=$1; shift
kept=
fd=3
for path; do
    eval "exec $fd<\"\$path\""
    kept="$kept $fd:$path"
    fd=$((fd + 1))
done

mount -t tmpfs -o mode=755 lab /run
mkdir -p /run/lock /run/.lab/etc /run/.lab/work /run/.lab/sys
mount -t overlay -o lowerdir=/etc,upperdir=/run/.lab/etc,workdir=/run/.lab/work lab /etc
mount -t tmpfs -o mode=755 lab /var/lib
mount -t tmpfs -o mode=1777 lab /tmp
mount -t tmpfs -o mode=1777 lab /var/tmp

for pair in $kept; do
    mkdir -p "${pair#*:}"
    # Not by its name: that leads to the private file system by now.
    mount --no-canonicalize --bind "/proc/self/fd/${pair%%:*}" "${pair#*:}"
done

# A fresh sysfs shows this network namespace's links; the cgroup mounts move over to it.
mount -t sysfs sysfs /run/.lab/sys
mount --rbind /sys/fs/cgroup /run/.lab/sys/fs/cgroup
umount -R -l /sys
mount --move /run/.lab/sys /sys

rm -f /etc/resolv.conf /etc/hostname /etc/hosts
rm -rf /etc/docker
mkdir /etc/docker
: >/etc/resolv.conf
echo "$name" >/etc/hostname
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost\n' "$name" >/etc/hosts
hostname "$name"
ip link set lo up
"""


class CommandFailed(AssertionError):
    """A command in a machine ended with a status other than 0."""

    def __init__(self, machine: str, done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(
            f"on {machine}: {' '.join(done.args)}\n{status_text(done.returncode)}\n"
            f"stdout: {done.stdout}\nstderr: {done.stderr}"
        )
        self.done = done


class Machine:
    """A pretend machine, from `with` to the end of its block."""

    def __init__(self, name: str = "host") -> None:
        self.name = name
        self.addresses: list[IPv4Address] = []
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        self._keeper = Keeper(KINDS, FURNISH, (self.name, *_covered()))
        # In a chroot, nsenter would land outside of it: on the real /etc, not on our overlay.
        if self.run(["test", "-d", FURNISHED], check=False).returncode != 0:
            self.close()
            raise KeeperFailed("the machine's files are not its own; do the tests run in a chroot?")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process of the machine; its links, mounts and cgroups go with them."""
        if self._keeper is not None:
            cgroups = self._cgroups()
            self._keeper.close()
            self._keeper = None
            _remove(cgroups)

    @property
    def pid(self) -> int:
        """The process that holds the machine, as the host counts."""
        assert self._keeper is not None, f"{self.name} is not running"
        return self._keeper.pid

    @property
    def address(self) -> IPv4Address:
        """The address on the switch it was plugged into first."""
        return self.addresses[0]

    def path(self, inside: str) -> Path:
        """Returns where the host finds a file of the machine (absolute symlinks lead astray)."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        check: bool = True,
        timeout: float = 60,
        stdin: str | int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and returns what it printed, apart and as text."""
        words = stdin if isinstance(stdin, str) else None
        source = subprocess.DEVNULL if stdin is None else stdin
        if isinstance(source, str):
            source = subprocess.PIPE
        process = self.popen(argv, stdin=source, stderr=subprocess.PIPE, env=env)
        with process:
            try:
                out, err = process.communicate(words, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        command = [os.fspath(word) for word in argv]
        done = subprocess.CompletedProcess(command, process.returncode, out, err)
        if check and done.returncode != 0:
            raise CommandFailed(self.name, done)
        return done

    def shell(
        self, script: str, *, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs a shell script, which stops at its first failing command."""
        return self.run(["sh", "-euc", script], check=check, timeout=timeout)

    def popen(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.STDOUT,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Starts a command, whose two outputs are one unless asked otherwise."""
        return Process(
            self._enter(argv),
            text=True,
            errors="replace",
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_environment(env),
        )

    def snapshot(self) -> str:
        """Returns the machine's network configuration as text, the same for the same state."""
        return snapshot.take(self.run)

    def processes(self) -> list[str]:
        """Returns the command lines of all processes inside but the machine's own, sorted."""
        found = []
        for process in self._inside():
            words = _read(process / "cmdline").split("\0")
            if process.name != "1" and words[0]:
                found.append(" ".join(words).strip())
        return sorted(found)

    def _enter(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        kinds = ("--mount", "--net", "--pid", "--uts", "--ipc")
        command = [os.fspath(word) for word in argv]
        return ["nsenter", "--target", str(self.pid), *kinds, "--", *command]

    def _inside(self) -> list[Path]:
        """Returns the machine's own /proc entries: its containers' processes are among them."""
        return list(self.path("/proc").glob("[0-9]*"))

    def _cgroups(self) -> set[Path]:
        """Returns the cgroups that processes of the machine are in and its holder is not."""
        found: set[Path] = set()
        for process in self._inside():
            found |= _cgroups_of(process)
        return found - _cgroups_of(Path(f"/proc/{self.pid}"))


def _covered() -> list[str]:
    """Returns folders the tests need that the machine's private file systems would hide."""
    private = ("/run/", "/tmp/", "/var/lib/", "/var/tmp/")
    needed = {str(CHECKOUT), str(CACHE), sys.base_prefix, sys.prefix}
    hidden = sorted(path for path in needed if path.startswith(private) and os.path.isdir(path))
    # What lies in another of them comes along with it.
    return [path for path in hidden if not any(path.startswith(f"{p}/") for p in hidden)]


def _environment(given: Mapping[str, str] | None) -> dict[str, str]:
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {
        "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": "xterm",
    } | dict(given or {})


def _read(path: Path) -> str:
    """Reads a file of /proc; the process may have gone, which leaves nothing to read."""
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cgroups_of(process: Path) -> set[Path]:
    """Returns the folders of the cgroups of a process, on v1, v2 and both."""
    found = set()
    for line in _read(process / "cgroup").splitlines():
        _, controllers, inside = line.split(":", 2)
        if controllers:
            hierarchy = CGROUPS / controllers.removeprefix("name=")
        else:
            unified = CGROUPS / "unified"
            hierarchy = unified if unified.is_dir() else CGROUPS
        found.add(hierarchy / inside.lstrip("/"))
    return found


def _remove(cgroups: set[Path]) -> None:
    """Removes cgroups that nobody is in, and the folders above them that this leaves empty."""
    for path in sorted(cgroups, reverse=True):
        for folder in (path, *path.parents):
            if CGROUPS in (folder, folder.parent):
                break
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                    break
                raise
