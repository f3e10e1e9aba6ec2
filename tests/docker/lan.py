"""Containers on networks, and the questions that tests ask about them."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.docker.images import DIG, LENT, PYTHON, TALK, TOOLS
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine

DIG_PROGRAM = (sys.executable, str(DIG))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name server said."""

    rcode: str
    flags: str
    ttl: list[int]
    found: list[str]


@dataclass(frozen=True, slots=True)
class Lan:
    """A daemon's networks, and a machine outside of them."""

    daemon: Daemon
    neighbour: Machine

    @property
    def host(self) -> Machine:
        """The machine of the daemon."""
        return self.daemon.machine

    def docker(self, *words: str) -> str:
        """Runs a docker command and returns what it printed."""
        return self.daemon.docker(*words).stdout

    def create(self, name: str, options: str = "") -> str:
        """Creates a network and returns its id."""
        return self.docker("network", "create", *options.split(), name).strip()

    def run(self, name: str, options: str = "") -> None:
        """Runs a container that does nothing."""
        words = ("run", "-d", "--name", name, *options.split())
        self.docker(*words, "busybox", "sleep", "1000000")

    def tools(self, name: str, options: str = "") -> None:
        """Runs a container that does nothing, but has all the machine's programs."""
        words = ("run", "-d", "--name", name, *options.split())
        self.docker(*words, *LENT, TOOLS, "sleep", "1000000")

    def serve(self, name: str, end: str, options: str = "") -> None:
        """Runs a container that tells everyone under which address it sees them."""
        words = ("run", "-d", "--name", name, "--hostname", name, *options.split(), *LENT, TOOLS)
        self.docker(*words, PYTHON, "-u", str(TALK), "serve", *end.split())
        logs = f"/containers/{name}/logs?stdout=1"
        eventually(lambda: b"ready" in self.daemon.api("GET", logs).body)

    def ask(self, name: str, protocol: str, host: object, port: int) -> str:
        """Asks a talking server from a container made by `tools`."""
        words = (PYTHON, str(TALK), "ask", protocol, str(host), str(port), "1")
        return self.docker("exec", name, *words).strip()

    def seen_by_neighbour(self, name: str) -> str:
        """Returns the source address of the container's packets when they reach the neighbour."""
        program = (
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 9000));"
            "print('ready', flush=True); s.settimeout(10); print(s.recvfrom(9)[1][0])"
        )
        with self.neighbour.popen([PYTHON, "-c", program]) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            target = f"('{self.neighbour.address}', 9000)"
            send = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', {target})"
            self.docker("exec", name, PYTHON, "-c", send)
            return server.stdout.readline().strip()

    def dig(self, name: str, question: str, kind: str = "A", *options: str) -> Answer:
        """Asks the name server of a container made by `tools`."""
        words = (*DIG_PROGRAM, "ask", question, kind, *options)
        return Answer(**json.loads(self.docker("exec", name, *words)))

    def inside(self, name: str, command: str) -> str:
        """Runs a shell command in a container and returns what it printed."""
        return self.docker("exec", name, "sh", "-c", command)

    def reaches(self, name: str, target: str) -> bool:
        """Says whether a ping from a container is answered."""
        words = ("exec", name, "ping", "-c", "1", "-W", "1", target)
        return self.daemon.docker(*words, check=False).returncode == 0

    def answers(self, name: str, targets: list[str]) -> set[str]:
        """Pings all targets at once from a container and returns those that answer."""
        script = "".join(f"(ping -c 1 -W 1 {to} >/dev/null && echo {to}) & " for to in targets)
        return set(self.inside(name, f"{script} wait").split())

    def endpoints(self, name: str) -> dict[str, Any]:
        """Returns a container's networks as inspect shows them."""
        shown = self.daemon.api("GET", f"/containers/{name}/json").json
        found: dict[str, Any] = shown["NetworkSettings"]["Networks"]
        return found

    def address(self, name: str, network: str) -> str:
        """Returns a container's address on a network."""
        return str(self.endpoints(name)[network]["IPAddress"])

    def network(self, name: str) -> Any:
        """Returns a network as inspect shows it."""
        return self.daemon.api("GET", f"/networks/{name}").json

    def subnet(self, name: str) -> str:
        """Returns a network's subnet."""
        return str(self.network(name)["IPAM"]["Config"][0]["Subnet"])

    def bridge(self, name: str) -> str:
        """Returns the name of a network's bridge on the host."""
        return f"br-{self.network(name)['Id'][:12]}"

    def events(self, *filters: str, since: float = 0) -> list[Any]:
        """Returns what has happened up to now, as the API tells it."""
        wanted: dict[str, list[str]] = {}
        for text in filters:
            key, _, value = text.partition("=")
            wanted.setdefault(key, []).append(value)
        words = {"since": f"{since:.9f}", "until": f"{time.time():.9f}"}
        query = urlencode({**words, "filters": json.dumps(wanted)})
        said = self.daemon.api("GET", f"/events?{query}").body
        return [json.loads(line) for line in said.splitlines()]

    def names(self, *filters: str) -> list[str]:
        """Returns the names that `network ls` lists."""
        words = [word for text in filters for word in ("--filter", text)]
        return self.docker("network", "ls", "--format", "{{.Name}}", *words).split()
