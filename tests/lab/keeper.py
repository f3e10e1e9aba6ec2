"""A process that holds a set of namespaces open, and takes all in them with it when it goes.

The keeper is the first process of its pid namespace, so killing it kills every process inside,
whatever they did to their parents or sessions, and the kernel lets the wait end only after the
last one is gone. It dies with the thread that made it, so a killed test run leaves nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess

from tests.lab.process import only_child, status_text

READY = "ready\n"


class KeeperFailed(RuntimeError):
    """The namespaces could not be made or furnished."""


class Keeper:
    """Namespaces of the given kinds, furnished by a shell script run inside as root."""

    def __init__(
        self, kinds: tuple[str, ...], furnish: str = "", argv: tuple[str, ...] = ()
    ) -> None:
        # SIGCHLD is ignored across the exec, so the kernel itself reaps the orphans that a
        # first process inherits; sleep then needs no wait loop.
        last = "exec env --ignore-signal=CHLD sleep infinity"
        script = f"{furnish}\nprintf {READY!r}\n{last} >/dev/null 2>&1"
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child",
             *(f"--{kind}" for kind in kinds), "sh", "-euc", script, "keeper", *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._outer.stdout is not None
        said = ""
        for line in self._outer.stdout:
            if line == READY:
                break
            said += line
        else:
            self._outer.stdout.close()
            status = self._outer.wait()
            raise KeeperFailed(f"namespaces could not be set up ({status_text(status)}): {said}")
        self._outer.stdout.close()
        pid = only_child(self._outer)
        assert pid is not None, "the keeper has gone"
        self.pid = pid

    def close(self) -> None:
        """Kills everything inside and waits until it is gone."""
        if self._outer.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._outer.wait()
