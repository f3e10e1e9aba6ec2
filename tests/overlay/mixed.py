"""A cluster of a Docker 20.10 daemon, a fairlead with serf, and a fairlead without.

::

    store 192.0.2.1 ── switch ── one 192.0.2.2 (Docker), two 192.0.2.3 (serf), three 192.0.2.4
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.lab import Daemon, Machine, Switch
from tests.lab.daemon import fairlead_command
from tests.lab.debian import unpacked
from tests.lab.docker20 import docker20
from tests.lab.stores import Server, etcd
from tests.overlay.cluster import Cluster, Host, eventually

WEB = "mkdir -p /www; echo $0 >/www/index.html; exec httpd -f -p 80 -h /www"

ASK = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


STIR = """
import json, sys
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
counts = sys.argv[1] + "/v2/keys/docker/network/v1.0/endpoint_count"
with urlopen(counts) as said:
    nodes = json.load(said)["node"].get("nodes", ())
for node in nodes:
    url = f"{counts}/{node['key'].rpartition('/')[2]}?prevIndex={node['modifiedIndex']}"
    try:
        urlopen(Request(url, urlencode({"value": node["value"]}).encode(), method="PUT")).close()
    except HTTPError as error:
        if error.code not in (404, 412):  # somebody else wrote it, which is as good
            raise
"""
"""Writes every count anew, as it was."""
LOST_SECONDS, MOST_STIRS = 20, 6
UNKNOWN = "bad address"
"""What ping says of a name that nobody has."""
STORELESS = (
    "etcd cluster is unavailable",
    "failed to get network from store",
    "failed to update store",
    "already exists in network",
)
"""How Docker says that it could not ask its store, or that it left an endpoint there before."""


class DockerHost(Host):
    """A machine with Docker's own daemon.

    On a busy machine that loses its store at times, whoever else writes there: it gives every
    question three seconds, and asks some from within a container's namespace. What it was
    about to start has failed then, and its endpoint may lie in the store. Nor does it ask again
    who is on a network, when that question was lost, before the network's count is written.
    """

    _store = ""
    _stirs = 0

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._unknown: dict[tuple[str, str], float] = {}

    def up(self, stack: ExitStack, *flags: str) -> None:
        """Starts it, a member of the cluster whose store the first flag names."""
        store = flags[0].partition("=")[2]
        self._store = store.replace("etcd://", "http://")
        self.daemon = stack.enter_context(docker20(self.machine, store))

    def ping(
        self, name: str, target: str, count: int = 1, wait: int = 2
    ) -> subprocess.CompletedProcess[str]:
        """What comes of a ping; a name that it does not learn Docker asks for again.

        That it lost a question is rare: were it so each time, we would not write as it reads.
        """
        done = super().ping(name, target, count, wait)
        if UNKNOWN not in done.stderr:
            self._unknown.pop((name, target), None)
            return done
        since = self._unknown.setdefault((name, target), time.monotonic())
        if time.monotonic() - since > LOST_SECONDS and self._stirs < MOST_STIRS:
            self._stirs += 1
            self._unknown[name, target] = time.monotonic()
            self.machine.run([sys.executable, "-I", "-S", "-c", STIR, self._store])
        return done

    def docker(self, *words: str, check: bool = True) -> str:
        """What a docker command prints; what Docker could not start for want of its store again."""
        if words[0] != "run":
            return super().docker(*words, check=check)
        said = ""

        def ran() -> bool:
            nonlocal said
            done = self.daemon.docker(*words, check=False)
            said = (done.stdout + ("" if check else done.stderr)).strip()
            if done.returncode == 0 or not any(fault in done.stderr for fault in STORELESS):
                assert not check or done.returncode == 0, done.stderr
                return True
            if "--name" in words:
                self.clear(words[words.index("--name") + 1], words[words.index("--net") + 1])
            return False

        eventually(ran, else_say=lambda: said)
        return said

    def clear(self, name: str, network: str) -> None:
        """Removes a container, and its endpoint if Docker forgot that."""
        super().docker("rm", "-f", name, check=False)
        super().docker("network", "disconnect", "-f", network, name, check=False)


class FairleadHost(Host):
    """A machine with fairlead, and serf on its PATH if wanted."""

    def __init__(self, machine: Machine, *, serf: bool) -> None:
        super().__init__(machine)
        self._serf = serf

    def up(self, stack: ExitStack, *flags: str) -> None:
        """Starts it; it asks etcd as Docker does."""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        if self._serf:
            path = f"{unpacked('serf') / 'usr' / 'bin'}:{path}"
        command = ("env", f"PATH={path}", *fairlead_command())
        flags = (*flags, "--cluster-store-opt=kv.api=2")
        self.daemon = stack.enter_context(Daemon(self.machine, *flags, command=command))
        self.daemon.import_busybox()


class Mixed(Cluster):
    """The cluster, and what its store holds."""

    def __init__(self, switch: Switch, server: Server, keeper: Machine) -> None:
        self._keeper = keeper
        hosts = (
            DockerHost(switch.machine("one")),
            FairleadHost(switch.machine("two"), serf=True),
            FairleadHost(switch.machine("three"), serf=False),
        )
        super().__init__(switch, server, hosts)
        for host in hosts:
            # Nobody listens there, so that a name that is unknown is so at once.
            host.machine.path("/etc/resolv.conf").write_text(f"nameserver {keeper.address}\n")

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.machine.name == name)

    def stored(self) -> dict[str, str]:
        """Every key of the store that has a value."""
        url = "http://127.0.0.1:2379/v2/keys/?recursive=true"
        said = self._keeper.run([sys.executable, "-I", "-S", "-c", ASK, url]).stdout
        found: dict[str, str] = {}
        nodes = [json.loads(said)["node"]]
        while nodes:
            node = nodes.pop()
            nodes += node.get("nodes", ())
            if not node.get("dir"):
                found[node["key"]] = node["value"]
        return found


@contextmanager
def mixed_cluster() -> Iterator[Mixed]:
    """The cluster, while it runs."""
    with Switch() as switch:
        keeper = switch.machine("store")
        with etcd(keeper) as server, Mixed(switch, server, keeper) as made:
            yield made
