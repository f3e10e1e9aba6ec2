"""What a service manager gives us and wants to hear: sockets, and how it goes.

The protocol is systemd's: descriptors from 3 on, counted in LISTEN_FDS for the
process LISTEN_PID; messages as datagrams to the socket NOTIFY_SOCKET. Both
variables are ours alone: they are taken out of the environment, so that no
process of a container can speak for us.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from fairlead.model.errors import Invalid

FIRST_DESCRIPTOR = 3


def inherited(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets that the service manager listens on for us; none without one."""
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        try:
            os.set_inheritable(number, False)
            found.append(socket.socket(fileno=number))
        except OSError as error:
            raise Invalid(
                f"descriptor {number}, which the service manager passed, is no socket: "
                f"{error.strerror}"
            ) from error
    return found


def chosen(host: str, sockets: list[socket.socket]) -> list[socket.socket]:
    """The sockets that `fd://` means: all; or with a number behind it, that descriptor."""
    which = host.removeprefix("fd://")
    if not sockets:
        raise Invalid(
            "no sockets found via socket activation: make sure the service was started by systemd",
            hint="fd:// is for socket units; by hand, use unix:///path",
        )
    if which in ("", "*"):
        return sockets
    found = [sock for sock in sockets if str(sock.fileno()) == which]
    if not found:
        numbers = ", ".join(str(sock.fileno()) for sock in sockets)
        raise Invalid(f"{host}: no such descriptor was passed", hint=f"there are {numbers}")
    return found


class Manager:
    """Who started us, if it wants to hear of us."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """We answer requests."""
        self._say("READY=1\nSTATUS=serving")

    def reloading(self) -> None:
        """We read the configuration again; `ready` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We end, and containers do not."""
        self._say("STOPPING=1\nSTATUS=stopping; containers live on")

    def _say(self, message: str) -> None:
        if not self._address:
            return
        # An @ stands for the zero byte that abstract addresses begin with.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.send(message.encode())
