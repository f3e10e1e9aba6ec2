"""A daemon in a machine: started, asked, stopped, killed and started again.

By default it is fairlead, listening where clients look for Docker. Whatever it writes is kept
in `log`; a Python traceback there fails the test that caused it, however well it went.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.lab.busybox import root_filesystem
from tests.lab.debian import docker_client
from tests.lab.machine import Machine
from tests.lab.process import Process, status_text

PROGRAM = Path(sys.prefix) / "bin" / "fairlead"
SOCKET = "/run/docker.sock"
LOG = "/run/fairlead-test.log"
TRACEBACK = "Traceback (most recent call last)"


class DaemonFailed(AssertionError):
    """The daemon did not start, did not stop, or fell over on the way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Daemon:
    """A daemon process, from `with` to the end of its block; its machine outlives it."""

    def __init__(
        self, machine: Machine, *flags: str, command: Sequence[str | os.PathLike[str]] = ()
    ) -> None:
        self.machine = machine
        self._command = (*(command or fairlead_command()), *flags)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.running:
            self.kill9()
        log = self.log
        print(log)  # pytest shows it when the test fails
        if error is None and TRACEBACK in log:
            raise DaemonFailed(f"the daemon's log has a traceback:\n{log}")

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The daemon's process id as it knows it, which is as its machine counts."""
        return int(self.machine.run(["cat", "/run/fairlead.pid"]).stdout)

    @property
    def log(self) -> str:
        """All it has written, over all its starts."""
        path = self.machine.path(LOG)
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def socket(self) -> Path:
        """The API's socket as the host finds it, for clients outside the machine."""
        return self.machine.path(SOCKET)

    def start(self, *more: str, patience_seconds: float = 120) -> None:
        """Starts it and returns when it answers."""
        assert not self.running, "it runs already"
        with self.machine.path(LOG).open("ab") as log:
            self._process = self.machine.popen(
                [*self._command, *more], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + patience_seconds
        while not self._answers():
            status = self._process.poll()
            if status is not None:
                raise DaemonFailed(f"it ended with {status_text(status)}:\n{self.log}")
            if time.monotonic() > deadline:
                self.kill9()
                raise DaemonFailed(f"no answer within {patience_seconds} s:\n{self.log}")
            time.sleep(0.01)

    def stop(self, patience_seconds: float = 90) -> int:
        """Asks it to end and returns its status."""
        assert self._process is not None, "it was never started"
        self._process.terminate()
        try:
            return self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise DaemonFailed(
                f"still there {patience_seconds} s after SIGTERM:\n{self.log}"
            ) from None

    def kill9(self) -> None:
        """Ends it without a chance to tidy up."""
        assert self._process is not None, "it was never started"
        self._process.kill()
        self._process.wait()

    def restart(self, *more: str) -> None:
        """Stops it if it runs, and starts it."""
        if self.running:
            self.stop()
        self.start(*more)

    def api(self, method: str, path: str, body: object = None, *, timeout: float = 180) -> Answer:
        """Sends one request to the Engine API; `body` goes out as JSON, or as it is if bytes."""
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        connection = _Connection(str(self.socket), timeout)
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def docker(
        self,
        *args: str,
        check: bool = True,
        stdin: str | IO[bytes] | None = None,
        timeout: float = 180,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the docker command line inside the machine, against this daemon."""
        command, given = self.docker_command(*args)
        return self.machine.run(
            command, check=check, stdin=stdin, timeout=timeout, env={**given, **(env or {})}
        )

    def docker_command(self, *args: str) -> tuple[list[str], dict[str, str]]:
        """Returns the argv and environment of a docker command, for `machine.popen`."""
        env = {"DOCKER_HOST": f"unix://{SOCKET}", "DOCKER_CONFIG": "/run/docker-client"}
        return [str(docker_client()), *args], env

    def fairlead(
        self, *args: str, check: bool = True, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Runs fairlead's own command line inside the machine, against this daemon."""
        env = {"DOCKER_HOST": f"unix://{SOCKET}"}
        return self.machine.run([PROGRAM, *args], check=check, timeout=timeout, env=env)

    def import_busybox(self, reference: str = "busybox:latest") -> str:
        """Makes the image `busybox`, whose command is a shell, and returns its id."""
        with tempfile.TemporaryFile() as archive:
            archive.write(root_filesystem())
            archive.seek(0)
            done = self.docker("import", "--change", 'CMD ["sh"]', "-", reference, stdin=archive)
        return done.stdout.strip()

    def _answers(self) -> bool:
        try:
            return self.api("GET", "/_ping", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Opens the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fairlead_command() -> Sequence[str | os.PathLike[str]]:
    """The command of the daemon of this checkout, where the tests look for it."""
    return (
        PROGRAM,
        "daemon",
        "-H",
        f"unix://{SOCKET}",
        "--data-root",
        "/var/lib/fairlead",
        "--exec-root",
        "/run/fairlead",
        "--pidfile",
        "/run/fairlead.pid",
    )
