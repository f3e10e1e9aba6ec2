"""One container's life as the daemon sees it: alive until conmon leaves.

conmon writes the exit code to a file and then ends; its pidfd wakes us, then
the file is read. That works the same for a container of an earlier daemon, and
for one that ended while no daemon was there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from fairlead.model.container import Exit
from fairlead.model.errors import Conflict
from fairlead.runtime.record import Record, boot, started_at

KILLED = 128 + signal.SIGKILL
UNKNOWN = 255


class Life:
    """A container from its creation to its exit."""

    def __init__(self, record: Record, exits: Path) -> None:
        self.record = record
        self.paused = False
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._exit_file = exits / record.id
        self._conmon = -1
        self._init = -1

    @property
    def ended(self) -> bool:
        """Whether there is an exit code."""
        return self.exit.done()

    def watch(self) -> None:
        """Begin to wait for the end, which may be in the past."""
        record = self.record
        if record.boot != boot():
            self._end(UNKNOWN)
            return
        self._init = _pidfd(record.pid, record.pid_started)
        self._conmon = _pidfd(record.conmon, record.conmon_started)
        if self._conmon < 0:
            self._gone()
        else:
            asyncio.get_running_loop().add_reader(self._conmon, self._gone)

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process."""
        short = self.record.id[:12]
        if self.ended or self._init < 0:
            raise Conflict(f"container {short} is not running")
        try:
            signal.pidfd_send_signal(self._init, number)
        except ProcessLookupError as error:
            raise Conflict(f"container {short} is not running") from error

    def close(self) -> None:
        """Stop watching; the container goes on."""
        if self._conmon >= 0:
            asyncio.get_running_loop().remove_reader(self._conmon)
            os.close(self._conmon)
            self._conmon = -1
        if self._init >= 0:
            os.close(self._init)
            self._init = -1

    def _gone(self) -> None:
        """Take the exit code that conmon left; without one, conmon itself was killed."""
        if not self._exit_file.exists():
            if self._init >= 0:
                # Nobody reads its output or will know its exit code: end it.
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._init, signal.SIGKILL)
            self._end(KILLED)
            return
        self._end(int(self._exit_file.read_text() or KILLED))

    def _end(self, code: int) -> None:
        self.close()
        at = datetime.now(UTC)
        if self._exit_file.exists():
            at = datetime.fromtimestamp(self._exit_file.stat().st_mtime, UTC)
        oom = Path(self.record.bundle, "oom").exists()
        if not self.exit.done():
            self.exit.set_result(Exit(code, at, oom))


def _pidfd(pid: int, started: int) -> int:
    """A descriptor of the very process that was meant, or -1."""
    if pid <= 0:
        return -1
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    # Checked with the descriptor in hand: from here on the number cannot change hands.
    if started_at(pid) != started:
        os.close(fd)
        return -1
    return fd
