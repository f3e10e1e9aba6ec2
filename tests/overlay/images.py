"""Images that the tutorials get from a registry: Consul by its makers' image, and by another's.

Each is busybox, the real program with the libraries that it was linked with, and an entry
point that understands what the image of that name does.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from tests.lab import Daemon
from tests.lab.busybox import root_filesystem
from tests.lab.debian import consul as consul_program

CONSUL = "consul:1.5.2"
PROGRIUM = "progrium/consul"
CENTOS = "centos"

ENTRY = {
    # Binds to the address of an interface that a variable names; `agent -dev` by default.
    CONSUL: """#!/bin/sh
own=$(ip -o -4 addr show dev "$CONSUL_BIND_INTERFACE" | awk '{ sub("/.*", "", $4); print $4 }')
shift
exec consul agent -data-dir=/consul/data -bind="$own" "$@"
""",
    # The words behind the image's name are the agent's.
    PROGRIUM: """#!/bin/sh
exec consul agent -data-dir=/consul/data -client=0.0.0.0 -dns-port=53 \\
    -bind="$(hostname -i | cut -d' ' -f1)" "$@"
""",
}
COMMAND = {CONSUL: '["agent", "-dev", "-client", "0.0.0.0"]', PROGRIUM: "[]"}


def give(daemon: Daemon, reference: str) -> None:
    """Imports one of them."""
    with tempfile.TemporaryFile() as file:
        file.write(_archive(reference))
        file.seek(0)
        changes = ['CMD ["/bin/bash"]']
        if reference in ENTRY:
            changes = ['ENTRYPOINT ["/entry"]', f"CMD {COMMAND[reference]}"]
        words = [word for change in changes for word in ("--change", change)]
        daemon.docker("import", *words, "-", reference, stdin=file, timeout=180)


def _archive(reference: str) -> bytes:
    made = io.BytesIO()
    made.write(root_filesystem())
    made.seek(0)
    with tarfile.open(fileobj=made, mode="a") as tar:
        if reference == CENTOS:
            _add(tar, "bin/bash", b'#!/bin/sh\nexec sh "$@"\n')
        else:
            _add(tar, "entry", ENTRY[reference].encode())
            for name, path in _consul().items():
                _add(tar, name, path.read_bytes())
    return made.getvalue()


@cache
def _consul() -> dict[str, Path]:
    """The program and the libraries it needs, by their names in an image."""
    program = consul_program()
    said = subprocess.run(
        ["ldd", str(program)], check=False, capture_output=True, text=True, timeout=60
    ).stdout
    libraries = re.findall(r"(/\S+) \(0x", said)
    return {"bin/consul": program, **{path[1:]: Path(path) for path in libraries}}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    tar.addfile(member, io.BytesIO(content))
