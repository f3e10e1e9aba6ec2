"""A host whose containers publish ports, in one family, and the questions that tests ask."""

from __future__ import annotations

from dataclasses import dataclass

from tests.docker.family import Family
from tests.docker.images import LENT, PYTHON, TALK, TOOLS
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine

BOTH = ("tcp", "udp")
WEB = "-p 8080:80/tcp -p 8080:80/udp --hostname web"
"""A server at 80 of both protocols, published at 8080."""
ENDS = ("tcp:80", "udp:80")


@dataclass(frozen=True, slots=True)
class Ports:
    """The host with its daemon, and a neighbour who asks."""

    daemon: Daemon
    host: Machine
    neighbour: Machine
    family: Family
    home: str
    """The network that containers are on unless they say otherwise."""

    @property
    def there(self) -> str:
        """The host's address on the wire, where ports are published."""
        return self.family.host

    @property
    def lan(self) -> Lan:
        """The networks, and the questions about them."""
        return Lan(self.daemon, self.neighbour)

    def network(self, name: str) -> None:
        """Creates a network of the family."""
        self.daemon.docker("network", "create", *self.family.create.split(), name)

    def serve(self, name: str, *ends: str, options: str = "") -> None:
        """Runs a container that tells everyone who they are, on each of the ends."""
        words = (*LENT, TOOLS, PYTHON, "-u", str(TALK), "serve", *(ends or ENDS))
        self.daemon.docker("run", "-d", "--name", name, *self._placed(options), *words)
        self.ready(name)

    def ready(self, name: str) -> None:
        """Waits until the container's server listens."""
        logs = f"/containers/{name}/logs?stdout=1"
        eventually(lambda: b"ready" in self.daemon.api("GET", logs).body)

    def idle(self, name: str, options: str = "") -> None:
        """Runs a container that does nothing but can be asked to ask."""
        words = (*self._placed(options), *LENT, TOOLS, "sleep", "1000000")
        self.daemon.docker("run", "-d", "--name", name, *words)

    def ask(self, asker: Machine | str, protocol: str, host: object, port: int) -> list[str]:
        """Asks from a machine or from a container: the address seen, the port, the server."""
        words = [PYTHON, str(TALK), "ask", protocol, str(host), str(port), "1"]
        if isinstance(asker, Machine):
            return asker.run(words).stdout.split()
        return self.daemon.docker("exec", asker, *words).stdout.split()

    def reach(self, asker: Machine | str, host: object, port: int = 8080) -> list[str]:
        """The names of the servers that answer there, by TCP and by UDP."""
        return [self.ask(asker, protocol, host, port)[-1] for protocol in BOTH]

    def address(self, name: str, network: str = "") -> str:
        """Returns a container's address."""
        return self.family.of(self.lan.endpoints(name)[network or self.home])

    def host_port(self, name: str, end: str) -> int:
        """Returns the host's port that leads to the container's."""
        shown = self.daemon.docker("port", name, end).stdout.splitlines()[0]
        return int(shown.rpartition(":")[2])

    def _placed(self, options: str) -> list[str]:
        words = options.split()
        return words if "--network" in words else ["--network", self.home, *words]
