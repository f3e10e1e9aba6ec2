"""The first file system of a VM: busybox, and a script that puts the host's files under a tmpfs.

What the guest writes is gone with it, except in the folders that were asked to be writable.
Then a loop reads names of scripts from a serial line and runs each in the background.
"""

from __future__ import annotations

import shlex
from pathlib import Path

BUSYBOX = "/bin/busybox"

FOLDER, FILE, DEVICE = 0o40755, 0o100755, 0o20600

# $B is busybox in the initrd; the folders named below are the host's own.
INIT = r"""#!/bin/busybox sh
export PATH=/bin
B=/bin/busybox
$B mount -t proc proc /proc
$B mkdir -p /host /layer /new
$B mount -t tmpfs -o mode=755 tmpfs /layer
$B mkdir -p /layer/upper /layer/work
$B mount {host} /host || {{ echo 'lab: no files of the host' >/dev/kmsg; $B poweroff -f; }}
grep -qw overlay /proc/filesystems || $B insmod /overlay.ko
$B mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /new ||
    {{ echo 'lab: no overlay' >/dev/kmsg; $B poweroff -f; }}
cd /new
$B mkdir -p lib/modules proc sys dev run tmp
$B mount -o bind /host{modules} lib/modules
$B mount -t proc proc proc
$B mount -t sysfs sys sys
$B mount -t devtmpfs dev dev
$B mkdir -p dev/pts dev/shm dev/mqueue
$B mount -t devpts -o ptmxmode=666 devpts dev/pts
$B ln -s /proc/self/fd dev/fd
$B ln -s fd/0 dev/stdin
$B ln -s fd/1 dev/stdout
$B ln -s fd/2 dev/stderr
$B mount -t tmpfs -o mode=1777 tmpfs dev/shm
$B mount -t tmpfs -o mode=755 tmpfs run
$B mkdir -p run/lock run/netns run/lab
$B cp /bin/busybox run/lab/busybox
[ -e sys/fs/bpf ] && $B mount -t bpf bpf sys/fs/bpf
$B mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in {writable}; do
    $B mkdir -p ."$folder"
    $B mount {bind} ."$folder"
done
$B ifconfig lo 127.0.0.1 up
$B hostname {name}
exec $B switch_root /new /run/lab/busybox sh {share}/loop
"""

# One line, one command: `n` stands for n.run, whose outputs and status are files beside it.
LOOP = r"""
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
B=/run/lab/busybox
cd {share}
$B stty -F /dev/{line} raw -echo
exec 3</dev/{line}
exec </dev/null >/dev/null 2>&1
: >ready
while read -r n <&3; do
    (
        [ -e "$n.in" ] || : >"$n.in"
        $B setsid $B sh "$n.run" <"$n.in" >"$n.out" 2>"$n.err" 3<&-
        echo $? >"$n.status.new"
        $B sync
        $B mv "$n.status.new" "$n.status"
    ) &
done
$B poweroff -f
"""


def archive(
    share: Path, modules: Path, overlay: Path | None, *, kind: str, writable: list[Path]
) -> bytes:
    """Returns the file system as a cpio archive; `kind` says how the host's files come in."""
    native = kind == "uml"
    script = INIT.format(
        # overlayfs never writes to its lower layer, so one virtiofs serves for both.
        host="-t hostfs -o ro,/ none" if native else "-t virtiofs hostroot",
        bind='-t hostfs -o "$folder" none' if native else '-o bind "/host$folder"',
        modules=shlex.quote(str(modules)),
        writable=" ".join(shlex.quote(str(path)) for path in (share, *writable)),
        name=f"lab-{kind}",
        share=shlex.quote(str(share)),
    )
    entries = [(name, FOLDER, b"", (0, 0)) for name in ("bin", "proc", "dev")]
    entries += [
        ("dev/console", DEVICE, b"", (5, 1)),
        ("dev/null", DEVICE, b"", (1, 3)),
        ("dev/kmsg", DEVICE, b"", (1, 11)),
        ("bin/busybox", FILE, Path(BUSYBOX).read_bytes(), (0, 0)),
        ("init", FILE, script.encode(), (0, 0)),
    ]
    if overlay is not None:
        entries.append(("overlay.ko", FILE, overlay.read_bytes(), (0, 0)))
    return _cpio(entries)


def loop(share: Path, line: str) -> str:
    """Returns the script that becomes the guest's first process and listens on a serial line."""
    return LOOP.format(share=shlex.quote(str(share)), line=line)


def _cpio(entries: list[tuple[str, int, bytes, tuple[int, int]]]) -> bytes:
    """Returns a `newc` archive, as the kernel's documentation describes it."""
    out = bytearray()
    for inode, entry in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], 1):
        name, mode, content, (major, minor) = entry
        raw = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(raw), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + raw, content):
            out += part
            out += b"\0" * (-len(out) % 4)
    return bytes(out)
