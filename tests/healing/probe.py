"""Both ends of a probe, run where a test wants them, over IPv4 and IPv6 alike.

`probe.py serve PORT…` tells its host name to whoever connects, and prints the port and the
number of each datagram that arrives, and who sent it. `probe.py ask HOST PORT` prints what it was told.
`probe.py shoot HOST PORT HOST PORT…` sends a numbered datagram to each end each millisecond,
until its input ends; then it prints the last number.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE_SECONDS = 1.0
PERIOD_SECONDS = 0.001


def serve(*ports: str) -> None:
    """Listens until killed."""
    name = socket.gethostname().encode()
    waiting = selectors.DefaultSelector()
    for port in map(int, ports):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = socket.socket(socket.AF_INET6, kind)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::", port))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
            waiting.register(sock, selectors.EVENT_READ, port)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            if ready.type == socket.SOCK_STREAM:
                connection, _ = ready.accept()
                with connection:
                    connection.sendall(name)
            else:
                shot, (source, *_) = ready.recvfrom(64)
                print(key.data, shot.decode(), source, flush=True)


def ask(host: str, port: str) -> None:
    """Connects once and prints what comes back."""
    try:
        with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as sock:
            print(sock.recv(64).decode())
    except OSError as error:
        print(f"error: {error}")


def shoot(*ends: str) -> None:
    """Sends until the input ends."""
    targets = [(host, int(port)) for host, port in zip(ends[::2], ends[1::2], strict=True)]
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin, selectors.EVENT_READ)
    number, due = 0, time.monotonic()
    print("ready", flush=True)
    while not waiting.select(max(0.0, due - time.monotonic())):
        number += 1
        due += PERIOD_SECONDS
        # Each time another port: the kernel judges only what is not part of a flow that it knows.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for target in targets:
                with suppress(OSError):
                    sock.sendto(str(number).encode(), target)
    print(number, flush=True)


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"serve": serve, "ask": ask, "shoot": shoot}
    verbs[sys.argv[1]](*sys.argv[2:])
