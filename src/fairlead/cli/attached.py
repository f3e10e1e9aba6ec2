"""Being attached to a container from before its start until its end.

The order matters: attach before start, or the first output is lost; ask to wait
before start, or a quick exit is missed; the size of the terminal after start,
when there is one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fairlead.cli import stream, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from fairlead.cli.remote import Remote
    from fairlead.http.client import Reply

STREAMS = ("stdin", "stdout", "stderr")
DAEMON_FAILED = 125


def attached(
    daemon: Remote,
    container: str,
    *,
    streams: Collection[str],
    tty: bool,
    condition: str,
    keys: bytes,
    begin: Callable[[], None] | None = None,
) -> int:
    """Attach, begin, carry bytes both ways, and return the container's exit status."""
    path, stdin = f"/containers/{container}", "stdin" in streams
    wanted = {"stream": 1} | {name: 1 for name in STREAMS if name in streams}
    sock = daemon.hijack(f"{path}/attach", query=wanted)
    with sock, daemon.open("POST", f"{path}/wait", query={"condition": condition}) as waiting:
        if begin is not None:
            begin()
        with terminal.raw(tty and stdin), terminal.resized(daemon, path, tty):
            ended = stream.converse(
                sock,
                tty=tty,
                stdin=terminal.STDIN if stdin else None,
                detach_keys=keys if tty else b"",
            )
        if ended == stream.DETACHED:
            sys.stderr.write("\n")
            return 0
        return exit_status(waiting)


def exit_status(waiting: Reply) -> int:
    """The exit status a wait was for."""
    answer = waiting.json() or {}
    error = (answer.get("Error") or {}).get("Message")
    if error:
        sys.stderr.write(f"fairlead: Error response from daemon: {error}\n")
        return DAEMON_FAILED
    return int(answer["StatusCode"])
