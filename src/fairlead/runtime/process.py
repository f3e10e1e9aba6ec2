"""Children: started without inherited descriptors, reaped the moment they end.

A child is watched by its pidfd on the event loop, so there is no thread per
child and no signal handler, and a process id is never signalled after it was
reused. Short commands write into memory files instead of pipes: nothing can
fill up, and a grandchild that keeps the descriptor open holds up nobody.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fairlead.model.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: bytes
    err: bytes

    @property
    def complaint(self) -> str:
        """The command's own words about its failure, on one line."""
        text = (self.err or self.out).decode(errors="replace").strip()
        return " ".join(text.split()) or f"exit status {self.code}"


class Child:
    """One running child; whoever awaits `wait` gets its exit code."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.pid = popen.pid
        self._popen = popen
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._popen.wait()
        if not self.ended.done():
            self.ended.set_result(code)

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs; -N when signal N ended it."""
        return self.ended.result() if self.ended.done() else None

    async def wait(self) -> int:
        """Wait for the end; giving up the wait leaves the child alone."""
        return await asyncio.shield(self.ended)

    def signal(self, number: int) -> None:
        """Send a signal, unless it already ended."""
        if not self.ended.done():
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return  # It ended; the loop just has not heard yet.


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path = Path("/"),  # Where we are must not be kept busy by who outlives us.
    session: bool = False,
) -> Child:
    """Start a program that inherits the named descriptors and nothing else."""
    try:
        popen = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=session,
        )
    except FileNotFoundError as error:
        raise Unavailable(
            f"{argv[0]} is not installed", hint=f"install the package that has {argv[0]}"
        ) from error
    return Child(popen)


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path = Path("/"),
) -> Done:
    """Run a command to its end; cancelled, it is killed and reaped first."""
    with ExitStack() as stack:
        files = []
        for name in ("in", "out", "err"):
            files.append(os.memfd_create(name, os.MFD_CLOEXEC))
            stack.callback(os.close, files[-1])
        if stdin:
            os.write(files[0], stdin)
            os.lseek(files[0], 0, os.SEEK_SET)
        child = spawn(
            argv,
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            env=env,
            pass_fds=pass_fds,
            cwd=cwd,
        )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.signal(signal.SIGKILL)
            await child.wait()
            raise
        return Done(code, *(_content(fd) for fd in files[1:]))


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
