"""Servers of the stores that clusters share: real etcd, ZooKeeper and Consul, one of each.

``with etcd(machine) as store:`` runs one in a pretend machine, at ``store.url``; without a
machine it runs where the caller is (a thread in a namespace of its own, or all of a program
under ``unshare -n``) and listens on the loopback. What it holds outlives its stops and kills,
not the block.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.certificates import Certificates
from tests.lab.debian import consul as consul_program
from tests.lab.debian import unpacked
from tests.lab.machine import Machine
from tests.lab.process import Process, only_child, status_text

LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 60

# Runs beside the server: asks until the answer has a certain word in it.
WAIT = """
import socket, sys, time
host, port, question, wanted, patience = sys.argv[1:]
deadline = time.monotonic() + float(patience)
said = b""
while wanted.encode() not in said:
    if time.monotonic() > deadline:
        sys.exit(f"no {wanted!r} in {said!r}")
    time.sleep(0.02)
    said = b""
    try:
        with socket.create_connection((host, int(port)), 2) as asking:
            asking.sendall(question.encode())
            while piece := asking.recv(65536):
                said += piece
    except OSError as error:
        said = str(error).encode()
"""


class ServerFailed(AssertionError):
    """A store's server did not start, or would not stop."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What to ask a server, where, and the word that its answer has when it serves."""

    port: int
    question: str
    wanted: str


class Place:
    """Where a server runs: its folder, its address, and how programs are started there."""

    def __init__(self, machine: Machine | None, name: str, address: str) -> None:
        self._machine = machine
        if machine is None:
            self.folder = tempfile.mkdtemp(prefix=f"fairlead-{name}-")
            self.outside = Path(self.folder)
            self.address = address or LOOPBACK
        else:
            own = str(machine.addresses[0]) if machine.addresses else LOOPBACK
            self.address = address or own
            self.folder = f"/var/lib/lab-{name}-{self.address}"
            self.outside = machine.path(self.folder)
            self.outside.mkdir()

    @property
    def listens(self) -> set[str]:
        """Its address, and the loopback's if it is not one of that."""
        return {self.address, *(() if self.address.startswith("127.") else (LOOPBACK,))}

    def popen(self, argv: Sequence[str], log: Path) -> subprocess.Popen[str]:
        """Starts a program whose words go to a file; it dies with whoever started it."""
        with log.open("ab") as words:
            if self._machine is not None:
                return self._machine.popen(argv, stdout=words)
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def ask(self, ready: Ready) -> subprocess.CompletedProcess[str]:
        """Waits until a server answers as it should."""
        words = (ready.question, ready.wanted, str(PATIENCE_SECONDS))
        # The interpreter that runs us may be out of a machine's sight; any will do.
        argv = [sys.executable, "-I", "-S", "-c", WAIT, self.address, str(ready.port), *words]
        if self._machine is not None:
            return self._machine.run(argv, check=False, timeout=2 * PATIENCE_SECONDS)
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_SECONDS
        )

    def close(self) -> None:
        """Removes the folder."""
        if self._machine is None:
            shutil.rmtree(self.folder, ignore_errors=True)


class Server:
    """One server of a store."""

    def __init__(
        self,
        url: str,
        place: Place,
        command: Sequence[str],
        ready: Ready,
        certificates: Certificates | None = None,
    ) -> None:
        self.url = url
        """What `--cluster-store` takes."""
        self.certificates = certificates
        self._place = place
        self._command = command
        self._ready = ready
        self._process: subprocess.Popen[str] | None = None
        self._log = place.outside / "log"

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._place.address

    @property
    def log(self) -> str:
        """All it has written, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it and returns when it serves."""
        assert not self.running, "it runs already"
        self._process = self._place.popen(self._command, self._log)
        done = self._place.ask(self._ready)
        if done.returncode != 0 or not self.running:
            status = self._process.poll()
            ended = "" if status is None else f"it ended with {status_text(status)}\n"
            self.kill()
            raise ServerFailed(f"{ended}{done.stderr}\n{self.log}")

    def stop(self) -> None:
        """Asks it to end, and waits until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Makes it hang: connections stay, and nothing answers from now on."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_SECONDS
        # Its threads stop one by one, and until then some of them still answer.
        while not self._still():
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.005)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, sent: signal.Signals) -> None:
        assert self._process is not None, "it was never started"
        self._process.send_signal(sent)
        if sent == signal.SIGCONT:
            # nsenter, which may stand between, has stopped with its child, and waits for no one.
            subprocess.Popen.send_signal(self._process, sent)

    def _still(self) -> bool:
        """Whether every thread of it is stopped."""
        process = self._process
        assert process is not None, "it was never started"
        pid = only_child(process) if isinstance(process, Process) else process.pid
        tasks = Path(f"/proc/{pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(") ")[2].startswith("T") for stat in tasks)

    def _end(self, sent: signal.Signals) -> None:
        assert self._process is not None, "it was never started"
        if not self.running:
            return
        self._signal(sent)
        # A frozen one hears of it only then.
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
            raise ServerFailed(f"still there after {sent.name}:\n{self.log}") from None


@contextmanager
def etcd(
    machine: Machine | None = None, *, address: str = "", tls: bool = False
) -> Iterator[Server]:
    """Runs etcd 3.4, with its older API (v2) as well; with TLS it takes no client without."""
    with _place(machine, "etcd", address) as place:
        scheme, certificates = "http", None
        flags: list[str] = []
        if tls:
            scheme = "https"
            certificates = Certificates(place.outside, place.address)
            flags = [
                f"--cert-file={place.folder}/server.pem",
                f"--key-file={place.folder}/server-key.pem",
                f"--trusted-ca-file={place.folder}/ca.pem",
                "--client-cert-auth",
            ]
        listen = {f"{scheme}://{each}:2379" for each in place.listens}
        peers = f"http://{place.address}:2380"
        health = Ready(2381, "GET /health HTTP/1.0\r\n\r\n", "true")
        command = [
            str(unpacked("etcd-server") / "usr/bin/etcd"),
            "--name=lab",
            f"--data-dir={place.folder}/data",
            "--enable-v2",
            f"--listen-client-urls={','.join(sorted(listen))}",
            f"--advertise-client-urls={scheme}://{place.address}:2379",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=lab={peers}",
            f"--listen-metrics-urls=http://{place.address}:{health.port}",
            # It is alone: nobody to wait for in an election.
            "--heartbeat-interval=20",
            "--election-timeout=200",
            *flags,
        ]
        url = f"etcd://{place.address}:2379"
        yield from _served(Server(url, place, command, health, certificates))


JARS = {
    "libzookeeper-java": ("zookeeper", "zookeeper-jute"),
    "libslf4j-java": ("slf4j-api", "slf4j-simple"),
    "libdropwizard-metrics-java": ("metrics-core",),
    "libsnappy-java": ("snappy-java",),
}


@contextmanager
def zookeeper(machine: Machine | None = None, *, address: str = "") -> Iterator[Server]:
    """Runs ZooKeeper 3.8; its sessions last from one second to ten."""
    with _place(machine, "zookeeper", address) as place:
        place.outside.joinpath("zoo.cfg").write_text(
            "tickTime=500\n"
            f"dataDir={place.folder}\n"
            "clientPort=2181\n"
            f"clientPortAddress={address or '0.0.0.0'}\n"
            "admin.enableServer=false\n"
            "maxClientCnxns=0\n"
            "4lw.commands.whitelist=srvr\n"
        )
        jars = [
            str(unpacked(package) / "usr/share/java" / f"{name}.jar")
            for package, names in JARS.items()
            for name in names
        ]
        command = [
            "java",
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            ":".join(jars),
            "org.apache.zookeeper.server.ZooKeeperServerMain",
            f"{place.folder}/zoo.cfg",
        ]
        url = f"zk://{place.address}:2181"
        yield from _served(Server(url, place, command, Ready(2181, "srvr", "Mode:")))


@contextmanager
def consul(machine: Machine | None = None, *, address: str = "") -> Iterator[Server]:
    """Runs a Consul server, of one, that keeps what it holds on disk."""
    with _place(machine, "consul", address) as place:
        settings = {
            "server": True,
            "bootstrap_expect": 1,
            "node_name": "lab",
            "data_dir": f"{place.folder}/data",
            "bind_addr": place.address,
            "client_addr": " ".join(sorted(place.listens)),
            "ports": {"dns": -1, "serf_wan": -1},
            # Nobody to wait for in an election.
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "enable_script_checks": False,
            "log_level": "INFO",
        }
        place.outside.joinpath("consul.json").write_text(json.dumps(settings))
        command = [str(consul_program()), "agent", f"-config-file={place.folder}/consul.json"]
        leads = Ready(8500, "GET /v1/status/leader HTTP/1.0\r\n\r\n", ':8300"')
        url = f"consul://{place.address}:8500"
        yield from _served(Server(url, place, command, leads))


@contextmanager
def _place(machine: Machine | None, name: str, address: str) -> Iterator[Place]:
    place = Place(machine, name, address)
    try:
        yield place
    finally:
        place.close()


def _served(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()
