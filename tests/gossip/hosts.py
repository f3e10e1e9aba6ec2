"""Hosts that gossip: in each machine a daemon's side, and the agent that it keeps."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from tests.lab import Machine, Switch
from tests.lab.debian import unpacked
from tests.lab.machine import CHECKOUT
from tests.lab.process import Process

PATIENCE_SECONDS = 60.0
FOLDER = "/var/lib/gossip"
NETWORK = "ab" * 32

Line = dict[str, Any]


def eventually(what: Callable[[], Any], why: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Waits until something holds, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {why}"
        time.sleep(0.02)
    return found


class Host:
    """A machine with gossip; `lines` is all that its daemon's side has told."""

    def __init__(self, machine: Machine, *, name: str = "", key: str = "") -> None:
        self.machine = machine
        self.name = name or f"{machine.name}-1234abcd"
        self.address = machine.address
        self._key = key
        self._numbers = itertools.count()
        self._process: Process | None = None
        self._reader: threading.Thread | None = None
        self.start()

    def start(self) -> None:
        """Begins the daemon's side, which finds the agent or starts it; it has heard nothing."""
        self.lines: list[Line] = []
        words = [sys.executable, "-m", "tests.gossip.driver", FOLDER, self.name]
        # -m looks in the current folder, which is another in the machine.
        script = f'cd {CHECKOUT} && exec "$@"'
        self._process = self.machine.popen(
            ["sh", "-c", script, "sh", *words, str(self.address), *([self._key] * bool(self._key))],
            stdin=subprocess.PIPE, env={"PATH": f"{serf().parent}:/usr/bin:/bin:/usr/sbin"},
        )  # fmt: skip
        self._reader = threading.Thread(target=_read, args=(self._process, self.lines), daemon=True)
        self._reader.start()

    def end(self, kill: bool = False) -> None:
        """Ends the daemon's side; the agent goes on."""
        assert self._process is not None
        assert self._process.stdin is not None
        if not kill:
            self._process.stdin.close()
            assert self._process.wait(PATIENCE_SECONDS) == 0, self.lines[-5:]
        self.close()

    def close(self) -> None:
        """Ends the daemon's side whatever it does."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.stdin.close()
        self._process.wait()
        assert self._reader is not None
        self._reader.join()
        self._process.stdout.close()

    def do(self, what: str, **more: Any) -> Any:
        """Has something done and returns its value; fails as that does."""
        reply = self.attempt(what, **more)
        assert "error" not in reply, reply
        return reply["value"]

    def attempt(self, what: str, **more: Any) -> Line:
        """Has something done and returns how it went."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        self._process.stdin.write(json.dumps({"do": what, "number": number, **more}) + "\n")
        self._process.stdin.flush()
        replies = lambda: [line for line in self.lines if line.get("done") == number]  # noqa: E731
        found: list[Line] = eventually(replies, f"{self.name} to {what}: {self.lines[-5:]}", 120)
        return found[0]

    def heard(self, kind: str, **wanted: Any) -> list[Line]:
        """What it heard of a kind, with these values."""
        heard = [line["heard"] for line in list(self.lines) if "heard" in line]
        return [
            one
            for one in heard
            if one["kind"] == kind and all(one[key] == value for key, value in wanted.items())
        ]

    def hears(self, kind: str, **wanted: Any) -> Line:
        """Waits until it has heard such a thing, and returns the first."""
        why = f"{self.name} hears {kind} {wanted}"
        found: list[Line] = eventually(lambda: self.heard(kind, **wanted), why)
        return found[0]

    def reports(self, *words: str) -> str:
        """Waits for a line of trouble with these words, and returns it."""

        def found() -> list[str]:
            lines = [line["report"] for line in list(self.lines) if "report" in line]
            return [line for line in lines if all(word in line for word in words)]

        lines: list[str] = eventually(found, f"{self.name} reports {words}: {self.lines[-8:]}")
        return lines[0]

    def meets(self, *others: Host) -> None:
        """Joins others, and waits until all know it and it knows all."""
        addresses = [str(other.address) for other in others]
        self.do("join", addresses=addresses)
        for other in others:
            self.sees(other)
            other.sees(self)

    def sees(self, other: Host) -> None:
        """Waits until it counts another among the living."""
        eventually(lambda: other.name in self.alive(), f"{self.name} sees {other.name}")

    def alive(self) -> set[str]:
        """The names of the living members, its own included."""
        reply = self.attempt("members")
        return {one["name"] for one in reply.get("value", ()) if one["alive"]}

    def ready(self) -> bool:
        """Whether its agent answers."""
        return self.name in self.alive()

    def event(self, number: int = 1, *, joined: bool = True) -> Line:
        """An endpoint of this host, to tell of."""
        return {
            "joined": joined, "host": str(self.address), "network": NETWORK,
            "endpoint": f"{number:064x}", "address": f"10.0.0.{number}/24",
            "mac": f"02:42:0a:00:00:{number:02x}",
        }  # fmt: skip

    def tell(self, *events: Line) -> None:
        """Tells all others."""
        self.do("tell", events=events)

    def agent_pid(self) -> int:
        """The agent's process, as the machine counts."""
        return int(self.machine.path(f"{FOLDER}/agent.pid").read_text())

    def serf(self, *words: str, check: bool = True) -> str:
        """Runs serf's own command line on the agent."""
        plain = json.loads(self.machine.path(f"{FOLDER}/agent.json").read_text())
        way_in = (f"-rpc-addr={plain['rpc_addr']}", f"-rpc-auth={plain['rpc_auth']}")
        done = self.machine.run([serf(), words[0], *way_in, *words[1:]], check=check)
        return done.stdout


class Town:
    """Hosts on a switch, from `with` to the end of its block."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for host in self._hosts:
            host.close()

    def host(self, machine: str, *, name: str = "", key: str = "") -> Host:
        """Starts a host, and returns when its agent answers."""
        host = Host(self.switch.machine(machine), name=name, key=key)
        self._hosts.append(host)
        eventually(host.ready, f"{host.name} has an agent: {host.lines}")
        return host


def _read(process: Process, lines: list[Line]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            lines.append(json.loads(line))
        except ValueError:
            # A traceback: the test that waits in vain shows it.
            lines.append({"said": line})


def serf() -> Any:
    """HashiCorp's serf, from Debian."""
    return unpacked("serf") / "usr" / "bin" / "serf"
