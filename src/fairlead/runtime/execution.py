"""exec: one more program in a running container.

The runtime stays as its parent for as long as it runs, so the exit code is the
runtime's own. A terminal is handed over by crun through a console socket; runc
does that only for programs it lets go of, so there it copies between a
terminal of ours and its own.

The pid file appears once the program runs. A runtime that ends without one did
not start anything, and its log says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import struct
import termios
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.errors import Failed
from fairlead.runtime import process, syscalls
from fairlead.runtime.attach import STDERR, STDOUT, Attachment, PipeAttachment
from fairlead.runtime.command import SEARCH, Runtime
from fairlead.runtime.refusal import EXEC, refusal
from fairlead.runtime.watch import Watch


class Exec:
    """A program started in a container by `start`."""

    def __init__(
        self,
        name: str,
        pid: int,
        child: process.Child,
        wired: PipeAttachment | None,
        *,
        detach: bool,
        forwards: bool,
    ) -> None:
        self.id = name
        self.pid = pid
        self.streams: Attachment | None = None if detach else wired
        self._child = child
        self._wired = wired
        self._forwards = forwards

    async def wait(self) -> int:
        """Wait for the exit code."""
        code = await self._child.wait()
        return code if code >= 0 else 128 - code

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal a size; without a terminal that means nothing."""
        terminal = self._wired.terminal if self._wired else None
        if terminal is None:
            return
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self._forwards:
            # The runtime copies between our terminal and its own.
            self._child.signal(signal.SIGWINCH)

    async def kill(self, number: int) -> None:
        """Send a signal to the program."""
        if self._child.code is None:
            with contextlib.suppress(ProcessLookupError):  # It ended by itself just now.
                os.kill(self.pid, number)


@dataclass(slots=True)
class _Wires:
    """Which descriptors the runtime gets, and which are left for us."""

    stdio: tuple[int, int, int]
    options: tuple[str, ...] = ()
    stdin: int | None = None
    outputs: dict[int, int] = field(default_factory=dict)
    listener: socket.socket | None = None


async def start(
    runtime: Runtime,
    container: str,
    exec_id: str,
    document: Mapping[str, Any],
    directory: Path,
    *,
    stdin: bool,
    detach: bool,
) -> Exec:
    """Start a program and return once it runs; CannotRun when it cannot."""
    directory.mkdir(parents=True)
    (directory / "process.json").write_bytes(msgspec.json.encode(document))
    tidy = ExitStack()
    tidy.callback(shutil.rmtree, directory, ignore_errors=True)
    with tidy, ExitStack() as ours:
        with ExitStack() as theirs:
            if document["terminal"]:
                wires = _terminal(runtime, directory, ours, theirs)
            else:
                wires = _null(theirs) if detach else _pipes(stdin, ours, theirs)
            child = _spawn(runtime, container, directory, wires)
        try:
            pid = await _running(child, directory, document["args"][0])
            if wires.listener is not None:
                await _receive(wires, ours)
        except BaseException:
            child.signal(signal.SIGKILL)
            raise
        ours.pop_all()
        leftovers = tidy.pop_all()
    child.ended.add_done_callback(lambda _: leftovers.close())
    wired = PipeAttachment(wires.stdin, wires.outputs) if wires.outputs else None
    if detach and wired is not None:
        await wired.close()
    forwards = runtime.name != "crun"
    return Exec(exec_id, pid, child, wired, detach=detach, forwards=forwards)


def _spawn(runtime: Runtime, container: str, directory: Path, wires: _Wires) -> process.Child:
    stdin, stdout, stderr = wires.stdio
    return process.spawn(
        [
            *runtime.argv,
            f"--log={directory / 'log'}",
            "--log-format=json",
            "exec",
            f"--process={directory / 'process.json'}",
            f"--pid-file={directory / 'pid'}",
            *wires.options,
            container,
        ],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={"PATH": SEARCH},
        session=True,
    )


async def _running(child: process.Child, directory: Path, command: str) -> int:
    """Wait for the pid file; the runtime's end without one is a refusal."""
    with Watch() as watch:
        watch.add(directory, syscalls.IN_CLOSE_WRITE | syscalls.IN_MOVED_TO)
        child.ended.add_done_callback(watch.wake)
        try:
            while True:
                if pid := _pid(directory / "pid"):
                    return pid
                if child.code is not None:
                    raise refusal(_complaint(directory / "log"), command, EXEC)
                await watch.changed()
        finally:
            child.ended.remove_done_callback(watch.wake)


def _pid(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def _complaint(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
    errors = [str(line["msg"]) for line in said if line.get("level") == "error"]
    return errors[-1] if errors else "the runtime gave no reason"


def _null(theirs: ExitStack) -> _Wires:
    fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    theirs.callback(os.close, fd)
    return _Wires((fd, fd, fd))


def _pipes(stdin: bool, ours: ExitStack, theirs: ExitStack) -> _Wires:
    def pipe(mine: int) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        ours.callback(os.close, ends[mine])
        theirs.callback(os.close, ends[1 - mine])
        return ends[mine], ends[1 - mine]

    out, their_out = pipe(0)
    err, their_err = pipe(0)
    given, their_in = pipe(1) if stdin else (None, _null(theirs).stdio[0])
    return _Wires((their_in, their_out, their_err), (), given, {out: STDOUT, err: STDERR})


def _terminal(runtime: Runtime, directory: Path, ours: ExitStack, theirs: ExitStack) -> _Wires:
    if runtime.name == "crun":
        path = directory / "tty"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        ours.callback(listener.close)
        listener.bind(str(path))
        listener.listen(1)
        stdio = _null(theirs).stdio
        return _Wires(stdio, (f"--console-socket={path}",), listener=listener)
    master, slave = pty.openpty()
    ours.callback(os.close, master)
    theirs.callback(os.close, slave)
    return _Wires((slave, slave, slave), (), master, {master: STDOUT})


async def _receive(wires: _Wires, ours: ExitStack) -> None:
    """Take the terminal that crun sends over the console socket."""
    assert wires.listener is not None
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        sock, _ = await loop.sock_accept(wires.listener)
    wires.listener.close()
    with sock:
        sock.setblocking(True)
        _, fds, _, _ = socket.recv_fds(sock, 4096, 1)
    if not fds:
        raise Failed("the runtime sent no terminal")
    master = fds[0]
    ours.callback(os.close, master)
    wires.stdin, wires.outputs = master, {master: STDOUT}
