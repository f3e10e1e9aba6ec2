"""A small root file system, as a tar archive to import: the host's static busybox and its names."""

from __future__ import annotations

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

BUSYBOX = "/bin/busybox"

FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sbin": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/www": 0o755,
}

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\n"
    "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "var/www/index.html": "hello from busybox\n",
}


@cache
def root_filesystem() -> bytes:
    """Returns the archive, the same bytes for the same busybox."""
    binary = Path(BUSYBOX).read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, mode in FOLDERS.items():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        _add(tar, "bin/busybox", binary, 0o755)
        for name, text in FILES.items():
            _add(tar, name, text.encode(), 0o644)
        for name in _applets():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, BUSYBOX
            tar.addfile(link)
    return archive.getvalue()


def _applets() -> list[str]:
    """Returns the paths where busybox wants to be found under its other names."""
    listed = subprocess.run(
        [BUSYBOX, "--list-full"], check=True, capture_output=True, text=True, timeout=60
    )
    return sorted(set(listed.stdout.split()) - {"bin/busybox", "linuxrc"})


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
