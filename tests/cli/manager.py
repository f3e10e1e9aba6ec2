"""A service manager in small: `manager.py NOTES SOCKET PROGRAM ARGUMENT…`.

It listens on SOCKET, becomes the program with that socket passed to it, and leaves somebody
behind who writes down in NOTES what the program tells.
"""

from __future__ import annotations

import os
import socket
import sys


def main(notes: str, path: str, *command: str) -> None:
    """Becomes the program."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(f"{notes}.sock")
    if os.fork() == 0:
        listener.close()
        with open(notes, "a", buffering=1) as out:
            while True:
                out.write(told.recv(4096).decode() + "\n")
    told.close()
    os.dup2(listener.fileno(), 3)
    # It may have been 3 all along, and then dup2 does nothing.
    os.set_inheritable(3, True)
    given = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "NOTIFY_SOCKET": f"{notes}.sock"}
    os.execve(command[0], command, {**os.environ, **given})


if __name__ == "__main__":
    main(*sys.argv[1:])
