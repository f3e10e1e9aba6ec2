"""conmon: the small parent that keeps a container company when we are gone.

It runs the OCI runtime's ``create``, holds the container's terminal or pipes,
writes the log, listens on an attach socket and leaves the exit code in a file.

It stays in the host's mount namespace for a reason. A copy of the namespace
would keep every other container's root, and every network namespace pinned by
a mount, alive for as long as this container runs. Only the runtime itself,
which is gone in milliseconds, is put behind a hidden cgroup tree (`command`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead.model.container import ContainerSpec
from fairlead.model.errors import Failed
from fairlead.runtime import process

PIDFILE = "pid"
CONMON_PIDFILE = "conmon.pid"
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _Answer(msgspec.Struct):
    data: int = -1
    message: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """Either both pids, or the runtime's complaint."""

    pid: int = 0
    conmon: int = 0
    complaint: str = ""


async def create(
    spec: ContainerSpec,
    bundle: Path,
    command: Sequence[str],
    exits: Path,
    *,
    log: Path | None,
    log_max_bytes: int,
) -> Created:
    """Have conmon create the container of a bundle that is already written."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            done = await process.run(
                _argv(spec, bundle, command, exits, log=log, log_max_bytes=log_max_bytes),
                env={"PATH": SEARCH, "_OCI_SYNCPIPE": str(writer)},
                pass_fds=(writer,),
                cwd=bundle,  # It writes a file called oom to where it stands.
            )
        finally:
            os.close(writer)
        answer = await _line(reader)
    finally:
        os.close(reader)
    if not answer:
        return Created(complaint=f"conmon: {done.complaint}")
    heard = msgspec.json.decode(answer, type=_Answer)
    if heard.data <= 0:
        return Created(complaint=heard.message or "the runtime gave no reason")
    return Created(heard.data, int((bundle / CONMON_PIDFILE).read_text()))


def _argv(
    spec: ContainerSpec,
    bundle: Path,
    command: Sequence[str],
    exits: Path,
    *,
    log: Path | None,
    log_max_bytes: int,
) -> list[str]:
    argv = [
        "conmon",
        "--api-version=1",
        f"--cid={spec.id}",
        f"--cuuid={spec.id}",
        f"--name={spec.id}",
        f"--bundle={bundle}",
        f"--container-pidfile={bundle / PIDFILE}",
        f"--conmon-pidfile={bundle / CONMON_PIDFILE}",
        f"--exit-dir={exits}",
        f"--persist-dir={bundle}",
        "--full-attach",
        "--no-sync-log",
        f"--log-path=k8s-file:{log}" if log else "--log-path=null:",
        f"--runtime={command[0]}",
        *(f"--runtime-arg={argument}" for argument in command[1:]),
    ]
    if log and log_max_bytes:
        argv.append(f"--log-size-max={log_max_bytes}")
    if spec.process.terminal:
        argv.append("--terminal")
    if spec.process.stdin:
        argv.append("--stdin")
        if not spec.process.stdin_once:
            argv.append("--leave-stdin-open")
    return argv


async def _line(fd: int) -> bytes:
    """Read up to the end of a line or of the pipe."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    got = b""
    try:
        while not got.endswith(b"\n"):
            await ready.wait()
            ready.clear()
            with contextlib.suppress(BlockingIOError):
                if not (piece := os.read(fd, 65536)):
                    break
                got += piece
    finally:
        loop.remove_reader(fd)
    return got


def resize(bundle: Path, rows: int, columns: int) -> None:
    """Tell the container's terminal its size."""
    try:
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Failed(f"cannot resize a stopped container: {bundle.name}") from error
    try:
        os.write(fd, f"1 {rows} {columns}\n".encode())
    finally:
        os.close(fd)
