"""Servers in many places at once, on one thread: each tells who it is and whom it sees.

They are sockets of this process, so a container needs no program for them.
"""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

from tests.security.place import Place

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
WILD = {4: "0.0.0.0", 6: "::"}


def listener(
    place: Place, protocol: str, port: int, version: int = 4, address: str = ""
) -> socket.socket:
    """A listening socket at a place."""
    sock = place.socket(FAMILIES[version], KINDS[protocol])
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address or WILD[version], port))
        if protocol == "tcp":
            sock.listen(512)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class Servers:
    """Answers ``name:port source`` at every place it was told to, until the end of the block."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._of: dict[str, list[socket.socket]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join()
        for sockets in self._of.values():
            for sock in sockets:
                sock.close()
        self._selector.close()

    def add(self, place: Place, *ports: int, version: int = 4) -> None:
        """Serves TCP and UDP on these ports of a place, on all its addresses."""
        for port in ports:
            for protocol in KINDS:
                sock = listener(place, protocol, port, version)
                with self._lock:
                    self._of.setdefault(place.name, []).append(sock)
                    self._selector.register(sock, selectors.EVENT_READ, f"{place.name}:{port}")

    def remove(self, name: str) -> None:
        """Serves no longer at a place, which may then go."""
        with self._lock:
            for sock in self._of.pop(name, []):
                self._selector.unregister(sock)
                sock.close()

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                ready = self._selector.select(0)
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    _answer(key.fileobj, key.data)
            if not ready:
                self._selector.select(0.01)


def _answer(sock: socket.socket, label: str) -> None:
    try:
        if sock.type == socket.SOCK_DGRAM:
            _, peer = sock.recvfrom(2048)
            sock.sendto(f"{label} {peer[0]}".encode(), peer)
            return
        connection, peer = sock.accept()
        with connection:
            connection.sendall(f"{label} {peer[0]}".encode())
    except OSError:
        return  # whoever asked is gone again, or the place is
