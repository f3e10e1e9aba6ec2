"""A host on which the daemon dies again and again, and those who must not notice.

Two containers talk to each other by name, a neighbour and the host itself to a published port:
each keeps one connection from the beginning to the end.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.docker.images import LENT, PYTHON, TALK, TOOLS, make_tools
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine, Switch, inventory
from tests.lab.daemon import SOCKET, Answer
from tests.lab.inventory import Inventory
from tests.lab.process import Process

VICTIM = Path(__file__).with_name("victim.py")
CALLER = Path(__file__).with_name("caller.py")
FOLDER = "/run/trust"
PARENT = "/fairlead-trust"
SERVED = 8080
PROCESS = "fairlead.dataplane.process"
FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
CHAINS = {
    "raw": "PREROUTING OUTPUT",
    "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
    "filter": "INPUT FORWARD OUTPUT",
}
LIVELY = ("/run", "/tmp", "/var/lib/fairlead/containers", "/var/lib/fairlead/volumes")
EVERYWHERE = (*LIVELY, "/etc", "/var/tmp")
RESTLESS = (FOLDER, "/run/fairlead.pid", "/run/fairlead/dataplane.log", "/run/docker-client")
# Kept running for the next change, until the daemon ends.
RESTORER = "--noflush --verbose"


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone with a connection, and what he is to hear."""

    process: Process
    right: str

    def asks(self) -> str:
        """What he says now."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


class Scene:
    """The machines, the daemon that counts, and the callers."""

    def __init__(self, stack: ExitStack, *flags: str) -> None:
        switch = stack.enter_context(Switch())
        self._stack = stack
        self.host = switch.machine("host")
        self.neighbour = switch.machine("neighbour")
        # What fairlead turns on for good is on already: forwarding, and the tables' own chains.
        tables = "".join(
            f"{ip}tables -t {table} -P {chain} ACCEPT\n"
            for ip in ("ip", "ip6")
            for table, chains in CHAINS.items()
            for chain in chains.split()
        )
        forwards = "".join(f"echo 1 >/proc/sys/net/{path}\n" for path in FORWARDING)
        self.host.shell(f"mkdir {FOLDER}\n{forwards}{tables}")
        self.parent = f"{PARENT}-{self.host.pid}"
        self.flags = flags
        self.daemon = Daemon(self.host, command=self.command())
        self.callers: list[Caller] = []
        stack.enter_context(self.daemon)
        self._bare()
        self.pristine = self.look(*EVERYWHERE)
        self.daemon.start()

    def command(self, *more: str) -> list[str]:
        """The daemon's command line."""
        return [
            sys.executable, str(VICTIM), FOLDER, "daemon", "-H", f"unix://{SOCKET}",
            f"--cgroup-parent={self.parent}", *self.flags, *more,
        ]  # fmt: skip

    def look(self, *files: str) -> Inventory:
        """Everything that is there now; what stays while a daemon lives is left out."""
        found = inventory.take(
            self.host, cgroups=self.parent, files=files or LIVELY, without=RESTLESS
        )
        return found.where(lambda line: RESTORER not in line)

    def settles(self, before: Inventory, *files: str) -> None:
        """Waits until everything is as it was."""
        inventory.settles(lambda: self.look(*files), before)

    def furnish(self) -> None:
        """Images, networks and those who are to go on undisturbed."""
        self.daemon.import_busybox()
        make_tools(self.daemon)
        for name, *more in (("lan",), ("red", "--ipv6"), ("blue",)):
            self.daemon.docker("network", "create", *more, name)
        lent = (*LENT, f"--volume={CALLER.parent}:{CALLER.parent}:ro")
        talk = ("run", "-d", "--network", "lan", *lent)
        self.daemon.docker(
            *talk, "--name", "server", "--hostname", "server", "-p", f"{SERVED}:80",
            TOOLS, PYTHON, "-u", str(TALK), "serve", "tcp:80",
        )  # fmt: skip
        self.daemon.docker(*talk, "--name", "mate", TOOLS, "sleep", "1000000")
        eventually(lambda: b"ready" in self.api("GET", "/containers/server/logs?stdout=1").body)
        shown = self.inspect("server")["NetworkSettings"]["Networks"]["lan"]["IPAddress"]
        pid = self.inspect("mate")["State"]["Pid"]
        inside = ["nsenter", "-t", str(pid), "--net", "--mount", "--root", "--"]
        mine = str(self.host.address)
        self._call(self.neighbour, [], mine, SERVED, mine)
        self._call(self.host, inside, "server", 80, shown)
        # The host's own loopback goes through the proxy in the dataplane.
        self._call(self.host, [], "127.0.0.1", SERVED, "127.0.0.1")

    def _call(
        self, machine: Machine, prefix: list[str], host: str, port: int, address: str
    ) -> None:
        words = [*prefix, PYTHON, "-u", str(CALLER), host, str(port)]
        process = self._stack.enter_context(machine.popen(words, stdin=-1))
        self._stack.callback(process.kill)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "ready\n", said + process.stdout.read()
        self.callers.append(Caller(process, f"kept {address} server"))

    def undisturbed(self) -> None:
        """Fails unless everybody kept connections, names and ports."""
        for caller in self.callers:
            assert caller.asks() == caller.right

    def served(self) -> bool:
        """Whether names and new connections are as they should be; fails if the kernel's are not.

        What the dataplane held has ended with it, so the host's own caller calls again.
        """
        *others, mine = self.callers
        found = [caller.asks() for caller in others]
        assert [said.split()[0] for said in found] == ["kept"] * len(others), found
        fresh = mine.asks().split()[1:] == mine.right.split()[1:]
        return fresh and found == [caller.right for caller in others]

    def recall(self) -> None:
        """The host's own caller opens a connection that is kept from now on."""
        self.callers.pop().process.kill()
        self._call(self.host, [], "127.0.0.1", SERVED, "127.0.0.1")
        self.undisturbed()

    def fetch(self, port: int) -> str:
        """The page that the neighbour is shown at a published port; empty if none."""
        words = [PYTHON, str(TALK), "fetch", f"http://{self.host.address}:{port}/"]
        return self.neighbour.run(words, check=False).stdout

    def refused(self, port: int) -> None:
        """Fails if anybody holds a port of the host."""
        held = self.host.run(["ss", "-Hltn", f"sport = :{port}"]).stdout
        assert held == "", held

    def addresses(self, pid: int) -> set[str]:
        """The addresses that a container has inside."""
        words = ["nsenter", "-t", str(pid), "--net", "ip", "-json", "-4", "addr", "show", "up"]
        rows = json.loads(self.host.run(words).stdout)
        found = {a["local"] for row in rows if row["ifname"] != "lo" for a in row["addr_info"]}
        return {str(address) for address in found}

    # The daemon

    def api(self, method: str, path: str, body: object = None) -> Answer:
        """Asks the daemon."""
        return self.daemon.api(method, path, body)

    def inspect(self, name: str) -> Any:
        """A container as inspect shows it, or None."""
        answer = self.api("GET", f"/containers/{name}/json")
        assert answer.status in (200, 404), answer.body
        return answer.json if answer.status == 200 else None

    def networks(self) -> set[str]:
        """The names of all networks."""
        return {network["Name"] for network in self.api("GET", "/networks").json}

    def plan(self) -> list[str]:
        """What a repair would do now."""
        told = self.host.path(f"{FOLDER}/plan")
        told.unlink(missing_ok=True)
        self.host.run(["kill", f"-{signal.SIGUSR1.value}", str(self.daemon.pid)])
        eventually(told.exists)
        steps: list[str] = json.loads(told.read_text())
        return steps

    def order(self, at: int, *, dataplane: bool = False) -> None:
        """From now on steps are counted; at the given one somebody dies."""
        points = self.host.path(f"{FOLDER}/points")
        points.unlink(missing_ok=True)
        orders = {"at": at, "dataplane": self.dataplane() if dataplane else 0}
        self.host.path(f"{FOLDER}/orders").write_text(json.dumps(orders))
        self.host.run(["kill", f"-{signal.SIGUSR2.value}", str(self.daemon.pid)])
        eventually(points.exists)

    def points(self) -> list[str]:
        """The kinds of points that were counted."""
        return self.host.path(f"{FOLDER}/points").read_text().splitlines()

    def dataplane(self) -> int:
        """The dataplane's process, as the machine counts."""
        said = self.host.run(["pgrep", "-f", PROCESS]).stdout.split()
        assert len(said) == 1, said
        return int(said[0])

    def replaced(self, old: int) -> bool:
        """Whether another process serves in the place of one that died."""
        said = self.host.run(["pgrep", "-f", PROCESS], check=False).stdout.split()
        return len(said) == 1 and said != [str(old)]

    def quiet(self) -> None:
        """Waits until nothing more is counted: what comes after an answer has been done."""
        before = -1
        while (now := len(self.points())) != before:
            before = now
            time.sleep(0.25)

    def dead(self) -> bool:
        """Whether the daemon has died of its orders; it may be about to."""
        deadline = time.monotonic() + 30
        while self.daemon.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def attempt(self, method: str, path: str, body: object = None) -> Answer | None:
        """Asks a daemon that may die before it answers."""
        try:
            return self.api(method, path, body)
        except (OSError, HTTPException):
            return None

    def purge(self) -> None:
        """Takes fairlead off the machine: no networks, no rules, no processes."""
        for caller in self.callers:
            caller.process.kill()
        for name in ("server", "mate"):
            answer = self.api("DELETE", f"/containers/{name}?force=1")
            assert answer.status == 204, answer.body
        for name in ("lan", "red", "blue"):
            assert self.api("DELETE", f"/networks/{name}").status == 204
        self._bare()

    def pristine_again(self) -> None:
        """Fails unless the host is as it was before the first network."""
        self.settles(self.pristine, *EVERYWHERE)

    def _bare(self) -> None:
        """Lets a daemon that wants nothing of the host remove all that it has there."""
        if self.daemon.running:
            assert self.daemon.stop() == 0
        self.daemon.start("--bridge=none", "--iptables=false", "--ip-forward=false")
        assert self.daemon.stop() == 0
        pid = self.dataplane()
        self.host.run(["kill", str(pid)])
        eventually(lambda: not self.host.path(f"/proc/{pid}").exists())


@contextmanager
def scene(*flags: str) -> Iterator[Scene]:
    """A scene with everybody in it."""
    with ExitStack() as stack:
        made = Scene(stack, *flags)
        made.furnish()
        yield made
