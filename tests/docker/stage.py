"""A machine with a daemon that a story is told on: the host's shell, and terminals."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.docker.images import PYTHON, TALK
from tests.docker.terminal import Terminal
from tests.lab import Daemon, Machine
from tests.lab.daemon import PROGRAM
from tests.lab.debian import docker_client


class Stage:
    """What the tests of one class share: the machine, the daemon, and what ran before."""

    def __init__(self, daemon: Daemon, neighbour: Machine, client: str = "docker") -> None:
        self.daemon = daemon
        self.host = daemon.machine
        self.neighbour = neighbour
        self.terminals: dict[str, Terminal] = {}
        self.ids: dict[str, str] = {}
        self.stack = ExitStack()
        self.env = {
            "PATH": f"{self._client(client)}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "DOCKER_CONFIG": "/run/docker-client",
        }

    def _client(self, client: str) -> Path:
        """The folder in which `docker` is the client that is asked for."""
        if client == "docker":
            return Path(docker_client()).parent
        folder = self.host.path("/run/clients")
        folder.mkdir()
        script = folder / "docker"
        script.write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n')
        script.chmod(0o755)
        return Path("/run/clients")

    def sh(self, script: str, *, check: bool = True) -> str:
        """Types a command at the host's shell and returns what it printed."""
        done = self.host.run(["sh", "-c", script], check=check, env=self.env)
        return done.stdout + (done.stderr if not check else "")

    def terminal(self, name: str, command: str, prompt: str | None = None) -> Terminal:
        """Opens a terminal on the host, types a command into it and waits for its prompt."""
        words = shlex.split(command)
        more = {} if prompt is None else {"prompt": prompt}
        opened = Terminal(self.host, words, self.env, **more)
        self.terminals[name] = self.stack.enter_context(opened)
        opened.prompt()
        return opened

    def ask(self, machine: Machine, protocol: str, host: object, port: int) -> str:
        """Asks a talking server from a machine and returns the answer."""
        words = [PYTHON, str(TALK), "ask", protocol, str(host), str(port)]
        return machine.run(words).stdout.strip()

    def fetch(self, machine: Machine, url: str) -> str:
        """Fetches a page as a browser on the machine would, waiting for its server to be up."""
        words = [PYTHON, str(TALK), "fetch", url]
        eventually(lambda: machine.run(words, check=False).returncode == 0)
        return machine.run(words).stdout


def eventually(condition: Callable[[], object], patience_seconds: float = 90) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
