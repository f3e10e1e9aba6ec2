"""A compose project in a machine: its files, and docker-compose told to work on them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lab import Daemon
from tests.lab.daemon import SOCKET

COMPOSE = Path("/usr/bin/docker-compose")
"""Debian's, which has a Python and a docker-py of its own."""


class Project:
    """One folder with a docker-compose.yml."""

    def __init__(self, daemon: Daemon, name: str, text: str) -> None:
        self.daemon = daemon
        self.name = name
        self._folder = f"/tmp/{name}"
        daemon.machine.run(["mkdir", "-p", self._folder])
        self.write(text)

    def write(self, text: str) -> None:
        """Replaces the file."""
        path = f"{self._folder}/docker-compose.yml"
        self.daemon.machine.run(["sh", "-c", f"cat >{path}"], stdin=text)

    def __call__(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs docker-compose in the project."""
        given = {
            "DOCKER_HOST": f"unix://{SOCKET}",
            "DOCKER_CONFIG": "/run/docker-client",
            # Its own Python's warnings about its own libraries.
            "PYTHONWARNINGS": "ignore",
            **(env or {}),
        }
        command = [str(COMPOSE), "--project-directory", self._folder]
        command += ["-f", f"{self._folder}/docker-compose.yml", "-p", self.name, "--ansi", "never"]
        return self.daemon.machine.run([*command, *words], check=check, timeout=180, env=given)

    def ask(self, service: str, *words: str) -> str:
        """What a command in a service's container prints; `""` if it fails."""
        done = self("exec", "-T", service, *words, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
