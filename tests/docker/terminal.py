"""A terminal with a command in it: typed at and read as a person at a keyboard would."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.lab import Machine

PROMPT = r"/ # $"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
INTERRUPT = b"\x03"
ROWS, COLUMNS = 50, 200
PATIENCE_SECONDS = 90.0


class NotSaid(AssertionError):
    """What was waited for did not appear on the screen."""


class Terminal:
    """A command on a terminal of its own, from `with` to the end of its block."""

    def __init__(
        self,
        machine: Machine,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        prompt: str = PROMPT,
    ) -> None:
        self._prompt = prompt
        self._unread = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        try:
            self.process = machine.popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env)
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def until(self, pattern: str, patience_seconds: float = PATIENCE_SECONDS) -> str:
        """Reads until the pattern has appeared and returns everything up to its end."""
        deadline = time.monotonic() + patience_seconds
        while (found := re.search(pattern, self._unread)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise NotSaid(f"no {pattern!r} on the screen, but: {self._unread!r}")
        said, self._unread = self._unread[: found.end()], self._unread[found.end() :]
        return said

    def prompt(self) -> str:
        """Waits until the shell asks for a command and returns what came before that."""
        return re.sub(self._prompt, "", self.until(self._prompt))

    def type(self, line: str) -> str:
        """Types a command and returns what it printed, when the prompt is back."""
        self.begin(line)
        return self.prompt()

    def begin(self, line: str) -> None:
        """Types a command and does not wait for its end; what is on the screen is read off."""
        self.send(line.encode() + b"\n")
        # A shell prints its prompt anew when the size of its terminal becomes known.
        self.until(re.escape(line) + r"\n")

    def send(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self._master, keys)

    def leave(self) -> int:
        """Types exit and returns the command's status."""
        self.send(b"exit\n")
        return self.end()

    def end(self) -> int:
        """Reads on until the command ends, and returns its status."""
        while self._read(PATIENCE_SECONDS):
            pass
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Hangs up; a command that does not mind is killed."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self, patience_seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], patience_seconds)
        if not ready:
            return False
        try:
            more = os.read(self._master, 65536)
        except OSError:  # EIO: nobody is left at the other end
            return False
        text = self._unread + more.decode(errors="replace").replace("\r", "")
        self._unread = ESCAPES.sub("", text)
        return bool(more)
