"""The dataplane process: `python -m fairlead.dataplane.process --socket PATH`.

Rule: it outlives the daemon that starts it. The command returns when the socket
answers; behind it stays a process in a session of its own that ends on `stop`
or SIGTERM only. One process per socket, which a lock beside it sees to.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import socket
import sys
import time
from pathlib import Path

NAME = "fairlead-dataplane"
PATIENCE_SECONDS = 5.0


def main() -> None:
    """Start the process unless one already serves this socket."""
    parser = argparse.ArgumentParser(prog=NAME, description="Names and ports that outlive fairlead")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--log", type=Path, default=Path(os.devnull))
    parser.add_argument("--foreground", action="store_true", help="stay, and log to stderr")
    arguments = parser.parse_args()
    # Nothing here speaks TLS and asyncio does without, but would load the library if it
    # could: a quarter of this process' memory.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    # Before the caller is let go, so that it hears of a broken installation.
    from fairlead.dataplane import server

    # Not root's umask, nor the caller's: what is made here is nobody else's.
    os.umask(0o077)
    listener = listen(arguments.socket)
    if listener is None:
        return
    if not arguments.foreground:
        log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if os.fork():
            # Without clean-up: all that is open now belongs to the child.
            os._exit(0)
        detach(log)
    # The kernel keeps 15 characters of it.
    Path("/proc/self/comm").write_text(NAME)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server.run(listener, arguments.socket)


def listen(path: Path) -> socket.socket | None:
    """The control socket, or None if another process answers on it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Held, unlike a pid in a file, exactly as long as the process lives.
    while not _locked(lock):
        if _answers(path):
            os.close(lock)
            return None
        if time.monotonic() > deadline:
            sys.exit(f"{path} is locked by a process that does not answer")
        # It is about to listen, or about to end.
        time.sleep(0.01)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    return listener


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(str(path)) == 0


def detach(log: int) -> None:
    """Leave the caller's session, folder and terminal."""
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(nothing)
    os.close(log)


if __name__ == "__main__":
    main()
