"""The daemons that are compared, each in a machine of its own on one switch.

Docker is Debian's, unpacked from its packages and never installed. The client is one and the
same program for both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tests.lab import Daemon, Machine, Switch
from tests.lab.debian import NoPackage, unpacked

from bench.client import UnixConnection
from bench.figures import OURS, THEIRS

DOCKER_PROGRAMS = (
    ("docker.io", "usr/sbin"),
    ("docker.io", "usr/bin"),
    ("containerd", "usr/bin"),
    ("tini", "usr/bin"),
)
IMAGE = "busybox"


class Refused(RuntimeError):
    """A daemon said no to a request that should have worked."""


@dataclass(slots=True)
class Subject:
    """A daemon under test, with a connection to its API that stays open."""

    name: str
    machine: Machine
    daemon: Daemon
    connection: HTTPConnection

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Sends one request on the open connection and returns the decoded answer."""
        payload = None if body is None else json.dumps(body)
        self.connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        raw = response.read()
        if response.status >= 300:
            raise Refused(f"{self.name}: {method} {path}: {response.status} {raw.decode()}")
        return json.loads(raw) if raw.strip() else None

    def run(self, name: str, command: Sequence[str], **more: object) -> str:
        """Creates and starts a container and returns its id; `more` is as in the API."""
        body = {"Image": IMAGE, "Cmd": list(command), "StopSignal": "SIGKILL", **more}
        container = str(self.ask("POST", f"/containers/create?name={name}", body)["Id"])
        self.ask("POST", f"/containers/{container}/start")
        return container

    def pid(self, container: str) -> int:
        """The first process of a container, as its machine counts."""
        return int(self.ask("GET", f"/containers/{container}/json")["State"]["Pid"])

    def remove(self, container: str) -> None:
        """Removes a container, running or not."""
        self.ask("DELETE", f"/containers/{container}?force=1&v=1")


@contextmanager
def subjects() -> Iterator[list[Subject]]:
    """Both daemons, started and with an image; only ours when Docker cannot be had."""
    with Switch() as switch, ExitStack() as stack:
        fairlead = switch.machine(OURS)
        found = [(OURS, fairlead, Daemon(fairlead))]
        try:
            command = _dockerd()
        except NoPackage as error:
            print(f"Debian's Docker is not to be had here, so fairlead is alone: {error}")
        else:
            machine = switch.machine(THEIRS)
            found.append((THEIRS, machine, Daemon(machine, command=command)))
        yield [stack.enter_context(started(*parts)) for parts in found]


@contextmanager
def started(name: str, machine: Machine, daemon: Daemon) -> Iterator[Subject]:
    """A daemon that runs and has the image."""
    # What is forwarded goes to a name server that a benchmark starts on the machine itself.
    machine.path("/etc/resolv.conf").write_text(f"nameserver {machine.address}\n")
    daemon.start()
    connection = UnixConnection(str(daemon.socket), 60)
    try:
        daemon.import_busybox()
        yield Subject(name, machine, daemon, connection)
    except BaseException:
        print(
            f"the last words of {name}:", *daemon.log.splitlines()[-20:], sep="\n", file=sys.stderr
        )
        raise
    finally:
        connection.close()


def _dockerd() -> list[str]:
    """The command of Debian's dockerd, which starts its containerd itself."""
    folders = [str(unpacked(package) / inside) for package, inside in DOCKER_PROGRAMS]
    path = ":".join([*folders, "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"])
    return [
        "env", f"PATH={path}", "dockerd", "--host", "unix:///run/docker.sock",
        "--storage-driver", "overlay2", "--log-level", "error",
    ]  # fmt: skip
