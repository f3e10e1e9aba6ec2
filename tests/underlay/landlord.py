"""A DHCP server that lets addresses for seconds, among forgers.

Runs inside a machine: `python -m tests.underlay.landlord FIRST`. Each client has an address
from FIRST on, until a line on the input names another FIRST: then it says no to renewals.
Before it says anything, it says what a forger would. A line tells of each message.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from fairlead.dhcp.message import (
    LEASE_SECONDS,
    MASK,
    ROUTER,
    SERVER,
    Kind,
    Message,
    build,
    parse,
)
from tests.lab import Machine
from tests.lab.machine import CHECKOUT
from tests.lab.process import Process

ME = IPv4Address("192.0.2.2")
SECONDS = 6


class Landlord:
    """The server on a machine, from `with` to the end of its block."""

    def __init__(self, machine: Machine, first: str) -> None:
        self._machine = machine
        self._first = first
        self._process: Process | None = None

    def __enter__(self) -> Self:
        path = f"{CHECKOUT}/src:{CHECKOUT}"
        log = self._machine.path("/run/landlord.log")
        log.write_text("")
        with log.open("ab") as out:
            self._process = self._machine.popen(
                [sys.executable, "-u", "-m", "tests.underlay.landlord", self._first],
                stdin=subprocess.PIPE,
                stdout=out,
                env={"PYTHONPATH": path},
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        print(self.heard)

    @property
    def heard(self) -> str:
        """What it was asked."""
        return self._machine.path("/run/landlord.log").read_text()

    def gives(self, first: str) -> None:
        """Others from now on."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first}\n")
        self._process.stdin.flush()


def forged(true: Message) -> list[bytes]:
    """What may be said by others: all of it has to be passed over."""
    wire = build(true)
    lies = (
        replace(true, xid=true.xid ^ 1),
        replace(true, mac=b"\x02\x42\x00\x00\x00\x01"),
        replace(true, answers=False),
        replace(true, yours=IPv4Address("127.0.0.1")),
        replace(true, yours=IPv4Address("192.0.2.255"), kind=Kind.ACK),
        replace(true, options={**true.options, SERVER: IPv4Address(0).packed}),
        replace(true, kind=Kind.NAK, options={SERVER: IPv4Address("192.0.2.66").packed}),
        replace(true, kind=Kind.DISCOVER),
    )
    broken = (wire[:200], wire[:250] + b"\x37\xff", b"", b"\xff" * 400, wire[:4] + bytes(300))
    return [*map(build, lies), *broken]


def answer(asked: Message, given: dict[bytes, IPv4Address], first: IPv4Address) -> Message | None:
    """What is said to a client."""
    old = asked.mac not in given or given[asked.mac] < first
    if old and asked.kind is Kind.DISCOVER:
        given[asked.mac] = max([first - 1, *given.values()]) + 1
    mine = given.get(asked.mac)
    known = {
        MASK: IPv4Address("255.255.255.0").packed,
        ROUTER: IPv4Address("192.0.2.254").packed,
        SERVER: ME.packed,
        LEASE_SECONDS: struct.pack("!I", SECONDS),
    }
    said = Message(Kind.OFFER, asked.xid, asked.mac, answers=True, options=known)
    if asked.kind is Kind.DISCOVER and mine is not None:
        return replace(said, yours=mine)
    if asked.kind is not Kind.REQUEST:
        return None
    if mine is None or int(mine) < int(first):
        return replace(said, kind=Kind.NAK, options={SERVER: ME.packed})
    return replace(said, kind=Kind.ACK, yours=mine)


def main() -> None:
    """Serves until its input ends."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.bind(("", 67))
    first, given = IPv4Address(sys.argv[1]), dict[bytes, IPv4Address]()
    while True:
        ready, _, _ = select.select([sock, sys.stdin], [], [])
        if sys.stdin in ready:
            line = sys.stdin.readline().strip()
            if not line:
                return
            first = IPv4Address(line)
            continue
        asked = parse(sock.recv(4096))
        renews = asked.kind is Kind.REQUEST and int(asked.client)
        print("renew" if renews else asked.kind.name.lower(), asked.client)
        said = answer(asked, given, first)
        where = "255.255.255.255" if asked.broadcast else str(asked.client)
        for wire in (*forged(said), build(said)) if said is not None else ():
            sock.sendto(wire, (where, 68))


if __name__ == "__main__":
    main()
