"""Keeps one TCP connection open, and for each line of input says whether all is well.

`caller.py HOST PORT` connects, then answers each line with three words: what came back through
the connection that it keeps, the address that the name has now, and who answers a new one.
"""

from __future__ import annotations

import socket
import sys
from typing import TextIO

PATIENCE_SECONDS = 5.0


def main(host: str, port: int) -> None:
    """Answers until its input ends."""
    kept = socket.create_connection((host, port), PATIENCE_SECONDS)
    lines = kept.makefile("rw")
    lines.readline()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(echoed(lines), named(host), fresh(host, port), flush=True)


def echoed(lines: TextIO) -> str:
    """What the other end makes of a line sent through the old connection."""
    try:
        lines.write("kept\n")
        lines.flush()
        return lines.readline().strip() or "closed"
    except OSError as error:
        return type(error).__name__


def named(host: str) -> str:
    """The address of the name."""
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except OSError as error:
        return type(error).__name__


def fresh(host: str, port: int) -> str:
    """Who answers a connection made now."""
    try:
        with socket.create_connection((host, port), PATIENCE_SECONDS) as sock:
            return sock.makefile().readline().split()[-1]
    except (OSError, IndexError) as error:
        return type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
