"""Two networks with containers, and what must and must not be possible between them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from tests.docker.images import LENT, PYTHON, TOOLS
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab.process import Process

PROBE = Path(__file__).with_name("probe.py")
LIFE = 81
"""A port of `web` that nobody published; 80 is published as 8080."""


@dataclass(frozen=True, slots=True)
class Town:
    """Questions about traffic, each asked with packets."""

    lan: Lan

    def build(self) -> None:
        """`web` publishes 80 as 8080 and keeps 81 to itself."""
        lan = self.lan
        lan.create("red", "--ipv6")
        lan.create("blue", "--ipv6")
        options = "--network red -p 8080:80 -p 8080:80/udp --cap-add NET_ADMIN"
        self.serve("web", options)
        self.serve("mate", "--network red")
        self.serve("far", "--network blue")

    def serve(self, name: str, options: str) -> None:
        """Runs a container that answers on 80 and 81."""
        words = ("run", "-d", "--name", name, "--hostname", name, *options.split(), *LENT)
        mount = f"--volume={PROBE.parent}:{PROBE.parent}:ro"
        ends = ("80", str(LIFE))
        self.lan.docker(*words, mount, TOOLS, PYTHON, "-u", str(PROBE), "serve", *ends)
        eventually(lambda: "ready" in self.log(name))

    def log(self, name: str) -> str:
        """What a container printed."""
        return self.lan.docker("logs", name)

    def ask(self, name: str, host: str, port: int = LIFE) -> str:
        """What a container is told somewhere."""
        words = (PYTHON, str(PROBE), "ask", host, str(port))
        return self.lan.docker("exec", name, *words).strip()

    def ask_from_outside(self, host: object = "", port: int = 8080) -> str:
        """What the neighbour is told, at the host's address unless another is named."""
        target = str(host or self.lan.host.address)
        words = [PYTHON, str(PROBE), "ask", target, str(port)]
        return self.lan.neighbour.run(words).stdout.strip()

    def shoot(self, *ends: str) -> Process:
        """Begins to send numbered datagrams from the neighbour, one a millisecond."""
        words = [PYTHON, "-u", str(PROBE), "shoot", *ends]
        process = self.lan.neighbour.popen(words, stdin=-1)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @property
    def address(self) -> str:
        """Where `web` is."""
        return self.lan.address("web", "red")

    @property
    def address6(self) -> str:
        """The same in IPv6."""
        return str(self.lan.endpoints("web")["red"]["GlobalIPv6Address"])

    def broken(self) -> list[str]:
        """What does not work, or works and should not."""
        address, address6 = self.address, self.address6
        neighbour = str(self.lan.neighbour.address)
        checks = {
            "a published port": self.ask_from_outside() == "web",
            "another in the network": self.ask("mate", address) == "web",
            "the same by IPv6": self.ask("mate", address6) == "web",
            "a name": self.ask("mate", "web") == "web",
            # Nobody listens there: an answer comes back all the same.
            "the way out": "refused" in self.ask("mate", neighbour),
            "the way out of the other network": "refused" in self.ask("far", neighbour),
            "isolation": self.ask("far", address) != "web",
            "isolation by IPv6": self.ask("far", address6) != "web",
        }
        return [what for what, holds in checks.items() if not holds]

    def settles(self, patience_seconds: float = 90) -> None:
        """Waits until all is as it should be."""
        deadline = time.monotonic() + patience_seconds
        while found := self.broken():
            assert time.monotonic() < deadline, f"broken: {found}"

    def state(self) -> str:
        """What matters of the host's configuration: not its order where that says nothing."""
        run = self.lan.host.run
        lines: list[str] = []
        for link in json.loads(run(["ip", "-j", "addr"]).stdout):
            master, alias = link.get("master", ""), link.get("ifalias", "")
            up = "UP" in link["flags"]
            lines.append(f"link {link['ifname']} {master} {alias} {link['mtu']} {up}")
            found = (a for a in link["addr_info"] if a["scope"] != "link")
            lines += [f"addr {link['ifname']} {a['local']}/{a['prefixlen']}" for a in found]
        for family in ("-4", "-6"):
            shown = json.loads(run(["ip", "-j", family, "route"]).stdout)
            lines += [f"route {r['dst']} {r.get('gateway')} {r['dev']}" for r in shown]
        lines = sorted(line for line in lines if "fe80::" not in line)
        for program in ("iptables-save", "ip6tables-save"):
            lines += _rules(run([program]).stdout)
        for line in sorted(run(["nft", "list", "tables"]).stdout.splitlines()):
            if "fairlead" in line:
                lines += _blocks(run(["nft", "list", *line.split()]).stdout)
        settings = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
        return "\n".join(lines) + run(["sysctl", *settings]).stdout

    def is_again(self, before: str, patience_seconds: float = 90) -> None:
        """Waits until the host's configuration is what it was."""
        deadline = time.monotonic() + patience_seconds
        while (now := self.state()) != before:
            if time.monotonic() > deadline:
                lines = unified_diff(before.splitlines(), now.splitlines(), lineterm="")
                raise AssertionError("not as it was:\n" + "\n".join(lines))


def _rules(text: str) -> list[str]:
    """Rules without counters; those that change sources stand in no order."""
    chains: dict[str, list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith((":", "-A")):
            name = line.lstrip(":").removeprefix("-A ").split()[0]
            there = chains.setdefault(f"{table} {name}", [])
            # The last line of the user's own chain is the user's to delete.
            if line != "-A DOCKER-USER -j RETURN":
                there.append(re.sub(r"\[.*\]", "", line))
    for name, there in chains.items():
        if name.endswith("POSTROUTING"):
            there.sort()
    # A built-in chain that nobody uses is not always listed.
    return [line for name in sorted(chains) for line in chains[name] if " ACCEPT " not in line]


def _blocks(text: str) -> list[str]:
    """A table's blocks; in which order they stand says nothing."""
    lone = re.sub(r"counter packets \d+ bytes \d+", "counter", text)
    lone = re.sub(
        r"elements = \{ (.*?) \}",
        lambda found: " ".join(sorted(re.split(r",\s+", found[1]))),
        lone,
        flags=re.DOTALL,
    )
    return sorted(" ".join(block.split()) for block in re.split(r"(?<=\t}\n)", lone))
