"""Images to run, made on the spot: busybox with a few files more, and the machine's own programs.

`tools` has no programs itself: it lends its containers the machine's /usr and this Python, so
that a test can run anything the machine has on a container's network.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab import Daemon
from tests.lab.busybox import root_filesystem

TOOLS = "tools:latest"
DIG = Path(__file__).with_name("dig.py")
TALK = Path(__file__).with_name("talk.py")
PYTHON = f"{sys.base_prefix}/bin/python3"
LENT = tuple(
    f"--volume={path}:{path}:ro"
    for path in sorted({"/usr", sys.base_prefix, sys.prefix, str(TALK.parent)})
)
SYMLINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64")}


def make(
    daemon: Daemon, reference: str, *changes: str, files: Mapping[str, str] | None = None
) -> str:
    """Imports busybox under another name, with programs of its own, and returns the image's id."""
    return _import(daemon, reference, changes, _with(files or {}))


def make_tools(daemon: Daemon) -> str:
    """Imports the image whose containers borrow the machine's programs; run it with LENT."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, target in SYMLINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        _add(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
    return _import(daemon, TOOLS, ('CMD ["sh"]',), archive.getvalue())


def _import(daemon: Daemon, reference: str, changes: tuple[str, ...], archive: bytes) -> str:
    words = [word for change in changes for word in ("--change", change)]
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.seek(0)
        return daemon.docker("import", *words, "-", reference, stdin=file).stdout.strip()


def _with(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    archive.write(root_filesystem())
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="a") as tar:
        for name, text in files.items():
            _add(tar, name, text, 0o755)
    return archive.getvalue()


def _add(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), mode
    tar.addfile(member, io.BytesIO(text.encode()))
