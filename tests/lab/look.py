"""Run inside a machine: prints as JSON what processes leave behind besides network configuration.

Mounts, listening sockets, processes, kernel settings, control groups below one parent, and the
files below some folders with a digest of each. What the kernel counts or draws is left out.
Imports nothing of ours, so that it can run where nothing of ours is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

LISTENS = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
# Counted, drawn or derived by the kernel, whoever is there.
RESTLESS = ("nf_conntrack_count", "nf_conntrack_expect_max", "inet_peer", "/netfilter/nf_log/")


def mounts() -> Iterator[str]:
    """What is mounted where; not what the real machine has below a folder that is covered."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        if os.path.lexists(fields.split()[4]):
            yield f"{fields.split()[4]} {source}"


def sockets() -> Iterator[str]:
    """Ports that are listened on, and unix sockets that have a name."""
    for protocol, listens in LISTENS.items():
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == listens:
                yield f"{protocol} {local}"
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        # A stream's accepted ends bear the name of the listening one; they are connections.
        if len(fields) > 7 and fields[5] == "01":
            yield f"unix {fields[7]}"


def processes() -> Iterator[str]:
    """Command lines, and the dead that nobody has buried."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name in ("1", str(os.getpid())):
            continue
        try:
            words = process.joinpath("cmdline").read_bytes().split(b"\0")
            dead = process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            continue
        if dead:
            yield f"zombie {process.joinpath('stat').read_text().split()[1]}"
        elif words[0]:
            yield b" ".join(words).decode(errors="replace").strip()


def settings() -> Iterator[str]:
    """Everything below /proc/sys/net that is readable and stands still."""
    for directory, _, names in os.walk("/proc/sys/net"):
        for name in names:
            path = f"{directory}/{name}"
            if any(word in path for word in RESTLESS):
                continue
            try:
                with open(path, "rb", buffering=0) as file:
                    text = b" ".join(file.read(4096).split()).decode()
            except OSError:
                continue  # Some can only be written.
            yield f"{path} {text}"


def cgroups(parent: str) -> Iterator[str]:
    """The control groups of one parent in every hierarchy, with how many are in each."""
    root = Path("/sys/fs/cgroup")
    for tree in (root, *sorted(root.iterdir())):
        top = tree / parent.lstrip("/")
        if parent and top.is_dir():
            yield str(top)
            yield from (str(found) for found in sorted(top.rglob("*")) if found.is_dir())


def files(folder: str, without: list[str]) -> Iterator[str]:
    """Every file below a folder, other file systems apart: kind and mode, digest or target."""
    for directory, inner, names in os.walk(folder):
        paths = {name: os.path.join(directory, name) for name in inner}
        inner[:] = [n for n, path in paths.items() if path not in without and not far(path, folder)]
        for name in (*inner, *names):
            path = os.path.join(directory, name)
            if path in without:
                continue
            try:
                found = os.lstat(path)
                what = ""
                if stat.S_ISLNK(found.st_mode):
                    what = os.readlink(path)
                elif stat.S_ISREG(found.st_mode):
                    what = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
            except OSError as error:
                # Gone meanwhile, or the pin of a namespace, which is no file to read.
                what = os.strerror(error.errno or 0)
            yield f"{path} {stat.filemode(found.st_mode)} {what}"


def far(path: str, folder: str) -> bool:
    """Whether something else is mounted there; the mounts tell of it."""
    return os.lstat(path).st_dev != os.stat(folder).st_dev


def main(asked: str) -> None:
    """Prints what was asked for."""
    wanted = json.loads(asked)
    found = {
        "mounts": mounts(),
        "sockets": sockets(),
        "processes": processes(),
        "settings": settings(),
        "cgroups": cgroups(wanted["cgroups"]),
        "files": (line for top in wanted["files"] for line in files(top, wanted["without"])),
    }
    print(json.dumps({kind: sorted(lines) for kind, lines in found.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
