"""The plugin of the tests' own as a process in a machine, with its log and its faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.docker.images import PYTHON
from tests.lab import Machine
from tests.lab.process import Process

PROGRAM = Path(__file__).with_name("wires.py")
FOLDER = "/run/docker/plugins"


class Wires:
    """The plugin, from `with` to the end of its block."""

    def __init__(
        self,
        machine: Machine,
        name: str = "wires",
        *,
        where: str = "",
        scope: str = "local",
        keep: bool = False,
        shared: Path | None = None,
        tls: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self._machine = machine
        self._where = where or f"{FOLDER}/{name}.sock"
        state = str(shared) if shared is not None else f"/run/{name}.state" if keep else ""
        self._more = (scope, state, *tls)
        self._process: Process | None = None
        machine.shell(f"mkdir -p {FOLDER} && rm -f /run/{name}.state && : > /run/{name}.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()
        self._machine.shell(f"rm -f {FOLDER}/{self.name}.sock")

    def start(self) -> None:
        """Starts it and returns when it listens."""
        files = (f"/run/{self.name}.log", f"/run/{self.name}.faults")
        words = [PYTHON, str(PROGRAM), self._where, *files, *self._more]
        self._process = self._machine.popen(words)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", line + self._process.stdout.read()

    def live(self) -> None:
        """Starts it again if it died."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._process is None:
            self.start()

    def kill(self) -> None:
        """Ends it; its socket stays behind, as that of any that dies."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def fail(self, faults: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Lets calls go wrong from now on; none do without faults."""
        self._machine.path(f"/run/{self.name}.faults").write_text(json.dumps(faults or {}))

    def forget(self) -> None:
        """Begins the log anew."""
        self._machine.path(f"/run/{self.name}.log").write_text("")

    def asked(self) -> list[tuple[str, Any]]:
        """What it was asked since then, and with what."""
        lines = self._machine.path(f"/run/{self.name}.log").read_text().splitlines()
        return [(call, body) for call, body, _ in map(json.loads, lines)]

    def calls(self) -> list[str]:
        """The names of the calls alone, without those that only ask what it can do."""
        quiet = ("Plugin.Activate", "GetCapabilities", "GetDefaultAddressSpaces")
        return [call.partition(".")[2] for call, _ in self.asked() if not call.endswith(quiet)]

    def accepted(self) -> set[str]:
        """The kinds of answers that callers wanted."""
        lines = self._machine.path(f"/run/{self.name}.log").read_text().splitlines()
        return {accept for _, _, accept in map(json.loads, lines)}
