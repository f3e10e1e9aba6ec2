"""A machine with dnsmasq as the DHCP server of the segment, and what it has let."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.docker.stage import eventually
from tests.lab import Machine
from tests.lab.process import Process

DNSMASQ = (
    "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--log-facility=/run/dnsmasq.log",
    "--pid-file=/run/dnsmasq.pid", "--user=root", "--bind-interfaces",
    "--no-resolv", "--no-hosts", "--address=/printer.example/192.0.2.77",
    "--dhcp-leasefile=/run/leases", "--dhcp-authoritative", "--no-ping", "--log-dhcp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Let:
    """One line of its list."""

    mac: str
    address: str
    name: str
    client: str


class Dnsmasq:
    """The server."""

    def __init__(self, machine: Machine, interface: str, part: str) -> None:
        self.machine = machine
        self._flags = (
            f"--interface={interface}",
            f"--dhcp-range={part}.100,{part}.119,255.255.255.0,2m",
            f"--dhcp-option=3,{part}.254",
        )
        self._process: Process | None = None

    def start(self) -> None:
        """Begin to serve."""
        self.machine.path("/run/dnsmasq.log").unlink(missing_ok=True)
        self._process = self.machine.popen([*DNSMASQ, *self._flags], stdout=subprocess.DEVNULL)
        eventually(lambda: "started" in self.log)

    def stop(self) -> None:
        """Serve no more; its list stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    @property
    def serves(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    @property
    def log(self) -> str:
        """What it says of its doings."""
        path = self.machine.path("/run/dnsmasq.log")
        return path.read_text() if path.exists() else ""

    def leases(self) -> list[Let]:
        """What it has let."""
        path = self.machine.path("/run/leases")
        rows = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
        return [Let(row[1], row[2], row[3], row[4]) for row in rows if row[0].isdigit()]

    def of(self, address: str) -> Let | None:
        """Who has an address."""
        return next((let for let in self.leases() if let.address == address), None)


@contextlib.contextmanager
def served(machine: Machine, interface: str = "eth0", part: str = "192.0.2") -> Iterator[Dnsmasq]:
    """A server that ends with the block; `part` is how its addresses begin."""
    server = Dnsmasq(machine, interface, part)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        print(server.log)
