"""A command inside a machine, as a Popen whose signals reach the command itself.

nsenter stands between: it forks into the pid namespace and waits there. Killing nsenter would
hand its child to the init of the host, outside the machine, where nobody may be reaping.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


class Process(subprocess.Popen[str]):
    """A running command; `kill`, `terminate` and `send_signal` go to it, not to nsenter."""

    def send_signal(self, sig: int) -> None:
        """Signals the command, unless it has ended."""
        child = only_child(self)
        if child is not None:
            os.kill(child, sig)


def only_child(parent: subprocess.Popen[str]) -> int | None:
    """Returns the pid of the child of a process that forks once, or None when it has ended."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while parent.poll() is None:
        found = children.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.001)  # between its start and its fork, or its child's end and its own
    return None


def status_text(status: int) -> str:
    """Says how a process ended: by status or by signal."""
    return f"status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
