"""An iptables-restore that is kept running and takes one transaction after another.

A new one for each change costs 3 ms, and 15 ms more for each table from which it
deletes: at its end the kernel waits for an RCU grace period. A kept one takes a
change in half a millisecond. It commits at each COMMIT; being verbose, it repeats
comments, so a comment behind a COMMIT says when that is done. What it repeats
goes through a terminal, because programs write to those line by line.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import tty

from fairlead.model.errors import Failed


class Interrupted(Failed):
    """A restore ended at an error; `committed` of its tables were committed before."""

    def __init__(self, message: str, committed: int) -> None:
        super().__init__(message)
        self.committed = committed


CHUNK_BYTES = 4096
"""A pipe that poll calls writable takes as much at once."""


class Restorer:
    """The program, started when first needed and anew after an error."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self.argv = (*argv, "--noflush", "--verbose")
        self._child: subprocess.Popen[bytes] | None = None
        self._heard = -1
        self._count = 0

    @property
    def pid(self) -> int | None:
        """The program that runs now."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._child.wait()
            os.close(self._heard)
            self._child = None

    def apply(self, *tables: str) -> None:
        """Apply texts that each end with COMMIT. Raises Failed with the program's words."""
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            self._start()
        self._count += 1
        ends = [f"# {self._count} done {number}\n" for number, _ in enumerate(tables, 1)]
        text = "".join(table + end for table, end in zip(tables, ends, strict=True))
        end = ends[-1].encode()
        said = self._converse(text.encode(), end)
        if not said.endswith(end):
            # It ends at the first error.
            self.close()
            lines = said.decode(errors="replace").strip().splitlines()
            words = [line for line in lines if not line.startswith("#")]
            committed = sum(end.strip() in lines for end in ends)
            raise Interrupted("; ".join(words[:2]) or f"{self.argv[0]} has ended", committed)

    def _start(self) -> None:
        self._heard, slave = os.openpty()
        tty.setraw(slave)
        try:
            self._child = subprocess.Popen(
                self.argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            os.close(self._heard)
            hint = "install the package iptables"
            raise Failed(f"{self.argv[0]} is not installed", hint=hint) from error
        finally:
            os.close(slave)

    def _converse(self, text: bytes, end: bytes) -> bytes:
        """Write, and read at the same time until it has said `end`, or is gone."""
        assert self._child is not None
        assert self._child.stdin is not None
        to = self._child.stdin.fileno()
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        poll.register(to, select.POLLOUT)
        said = b""
        while not said.endswith(end):
            for fd, events in poll.poll():
                if fd == to:
                    sent = 0 if events & select.POLLERR else os.write(to, text[:CHUNK_BYTES])
                    text = text[sent:]
                    if not sent or not text:
                        poll.unregister(to)
                elif not (heard := _read(fd)):
                    return said
                else:
                    said += heard
        return said


def _read(terminal: int) -> bytes:
    """What was said; nothing when nobody has the terminal any more."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise
