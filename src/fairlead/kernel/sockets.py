"""Sockets that must be made in the right namespace, by the thread that may go there."""

from __future__ import annotations

import errno
import os
import socket

from fairlead.kernel.filter import NOTHING, attach, detach
from fairlead.kernel.holder import holder
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.nft import RESOLVER, RESOLVER_PORT
from fairlead.model.errors import Failed
from fairlead.model.packet import joined
from fairlead.model.state import IPAddress

BACKLOG = 128
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
IPPROTO_SCTP = 132


class PortTaken(Failed):
    """The host's port cannot be bound; `code` is the errno."""

    def __init__(
        self,
        protocol: str,
        address: IPAddress,
        port: int,
        code: int,
        failed: str = "bind host port",
    ) -> None:
        where = joined(address, port)
        reason = os.strerror(code).lower()
        found = holder(protocol, address.version, port) if code == errno.EADDRINUSE else ""
        super().__init__(
            f"failed to {failed} {where}/{protocol}: {reason}",
            hint=f"{found} holds it" if found else "",
        )
        self.code = code


def resolver(namespaces: Namespaces, name: str) -> tuple[socket.socket, socket.socket, int]:
    """The resolver's UDP and listening TCP sockets in a sandbox, and the namespace itself."""
    made: list[socket.socket] = []
    with namespaces.entered(name) as fd:
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
                made.append(sock)
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((RESOLVER, RESOLVER_PORT))
            made[1].listen(BACKLOG)
            return made[0], made[1], os.dup(fd)
        except OSError:
            for sock in made:
                sock.close()
            raise


def reserve(protocol: str, address: IPAddress, port: int, deaf: bool = False) -> socket.socket:
    """A socket bound to a port of the host (0: any), so that nobody else can have it.

    Whoever listens there keeps it; a connection that is still winding down there
    is no obstacle. One that is `deaf` takes no connection and no datagram. Raises PortTaken.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    if protocol not in KINDS:
        raise Failed("unknown protocol", hint=f"publish tcp or udp, not {protocol}")
    kind = KINDS[protocol] | socket.SOCK_CLOEXEC
    try:
        number = IPPROTO_SCTP if protocol == "sctp" else 0
        sock = socket.socket(family, kind, number)
    except OSError as error:
        code = error.errno or errno.EIO
        raise PortTaken(protocol, address, port, code, "create socket for") from error
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if deaf:
            attach(sock, NOTHING)
        sock.bind((str(address), port))
        if protocol == "tcp":
            # Only a socket that listens keeps others out.
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTaken(protocol, address, port, error.errno or errno.EIO) from error
    return sock


def hear(sock: socket.socket) -> None:
    """Let a socket hear what comes from now on, if it was deaf."""
    detach(sock)
