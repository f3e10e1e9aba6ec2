"""Daemons die, containers do not: what goes on meanwhile, and what is found again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import DIG_PROGRAM, Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy
from tests.lab import CommandFailed, Daemon, Machine
from tests.lab.process import Process

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def fresh(daemon: Daemon) -> str:
    """The machine with a daemon that has done nothing yet."""
    return daemon.machine.snapshot()


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A network `red` with a server `web` on port 8080 of the host, and a `client`."""
    made = Lan(daemon, neighbour)
    made.create("red")
    made.serve("web", "tcp:80", "--network red -p 8080:80 --network-alias nick")
    made.tools("client", "--network red")
    yield made
    traces.none()


class Talk:
    """An open TCP connection from the neighbour through the published port."""

    def __init__(self, lan: Lan) -> None:
        words = [PYTHON, "-u", str(TALK), "converse", str(lan.host.address), "8080"]
        self._process: Process = lan.neighbour.popen(words, stdin=-1)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().split()[-1] == "web"

    def say(self, words: str) -> None:
        """Sends words and waits until they come back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == f"{words}\n"

    def end(self) -> None:
        """Closes the connection."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.kill()


@pytest.fixture
def talk(lan: Lan) -> Iterator[Talk]:
    """A connection made before the daemon dies."""
    made = Talk(lan)
    yield made
    made.end()


def namespace(lan: Lan, name: str) -> list[str]:
    """Returns the words that run a command on a container's network without the daemon."""
    key = lan.docker("inspect", "-f", "{{.NetworkSettings.SandboxKey}}", name).strip()
    return ["nsenter", f"--net={key}", "--"]


def dataplane(lan: Lan) -> str:
    """Returns the process, as the machine counts, that serves names and proxies."""
    said = lan.host.run(["ps", "-e", "-o", "pid=,args="]).stdout
    (found,) = re.findall(r"(?m)^ *(\d+) \S+ .*fairlead\.dataplane\.process", said)
    return str(found)


def outside(lan: Lan) -> str:
    """Asks the published port from the neighbour."""
    words = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080"]
    return lan.neighbour.run(words).stdout.strip()


def dig(lan: Lan, inside: list[str], name: str, transport: str = "udp") -> str:
    """Asks a container's name server without the daemon."""
    return lan.host.run([*inside, *DIG_PROGRAM, "ask", name, "A", transport]).stdout


def test_without_the_daemon(lan: Lan, talk: Talk) -> None:
    """After a kill -9 connections, published ports and names go on."""
    inside = namespace(lan, "client")
    address = lan.address("web", "red")
    lan.daemon.kill9()
    talk.say("still there")
    assert outside(lan).endswith(" web")
    words = [PYTHON, str(TALK), "ask", "tcp", "127.0.0.1", "8080"]
    assert lan.host.run(words).stdout.strip().endswith(" web")
    for transport in ("udp", "tcp"):
        assert address in dig(lan, inside, "nick", transport)


def test_after_the_daemon_is_back(lan: Lan, talk: Talk) -> None:
    """The next daemon finds everything as it was and is master of it."""
    shown = lan.endpoints("web")
    lan.docker("run", "-d", "--name", "brief", "busybox", "sleep", "1000000")
    state = lan.host.snapshot()
    lan.daemon.kill9()
    lan.daemon.start()
    assert lan.host.snapshot() == state
    talk.say("still there")
    assert lan.endpoints("web") == shown
    listed = lan.docker("ps", "--format", "{{.Names}} {{.Status}}").splitlines()
    assert sorted(line.split()[0] for line in listed) == ["brief", "client", "web"]
    assert all(" Up " in line for line in listed)
    assert lan.inside("web", "echo here") == "here\n"
    assert lan.reaches("brief", lan.address("brief", "bridge"))
    assert lan.dig("client", "web").found == [shown["red"]["IPAddress"]]
    assert "ready" in lan.docker("logs", "web")
    lan.docker("stop", "-t", "0", "brief")
    assert lan.docker("inspect", "-f", "{{.State.Status}}", "brief").strip() == "exited"
    lan.docker("run", "-d", "--name", "late", "--network", "red", "busybox", "sleep", "1000000")
    assert lan.reaches("late", "web")


def test_a_container_that_ends_meanwhile(lan: Lan) -> None:
    """Who ended while no daemon looked is found ended, with its status, and without its port."""
    options = ("--name", "brief", "-p", "9090:90", "--network", "red")
    lan.docker("run", "-d", *options, "busybox", "sh", "-c", "sleep 1; exit 7")
    lan.daemon.kill9()
    pattern = "sleep 1; exit 7"
    eventually(lambda: not [line for line in lan.host.processes() if line.endswith(pattern)])
    lan.daemon.start()
    shown = lan.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "brief")
    assert shown.split() == ["exited", "7"]
    assert "9090" not in lan.host.run(["ss", "-ltn"]).stdout
    assert set(lan.network("red")["Containers"]) == set(
        lan.docker("ps", "-q", "--no-trunc").split()
    )


def test_restart_policies(lan: Lan) -> None:
    """Who is to be always there is there again after the daemon is, if it ended meanwhile."""
    policies = {"always": "always", "unless-stopped": "unless-stopped", "never": "no"}
    for name, policy in policies.items():
        lan.run(name, f"--restart {policy}")
    pids = lan.docker("inspect", "-f", "{{.State.Pid}}", *policies).split()
    lan.daemon.kill9()
    lan.host.run(["kill", "-9", *pids])
    lan.daemon.start()
    eventually(
        lambda: (
            set(lan.docker("ps", "--format", "{{.Names}}").split())
            == {"web", "client", "always", "unless-stopped"}
        )
    )


def test_a_polite_end(lan: Lan, talk: Talk) -> None:
    """A daemon that is asked to end leaves containers running, as with live-restore."""
    assert lan.daemon.stop() == 0
    talk.say("still there")
    assert outside(lan).endswith(" web")
    lan.daemon.start()
    talk.say("and still")
    assert set(lan.docker("ps", "--format", "{{.Names}}").split()) == {"web", "client"}


def test_names_and_ports_survive_their_server(lan: Lan) -> None:
    """When the process that serves names and proxies is killed, it is back by itself."""
    inside = namespace(lan, "client")
    address = lan.address("web", "red")
    found = dataplane(lan)
    lan.host.run(["kill", "-9", found])
    words = [PYTHON, str(TALK), "ask", "tcp", "127.0.0.1", "8080"]
    eventually(lambda: address in dig(lan, inside, "web"))
    eventually(lambda: lan.host.run(words).stdout.strip().endswith(" web"))
    assert outside(lan).endswith(" web")
    assert dataplane(lan) != found
    lan.run("late", "--network red -p 8081:80")
    assert lan.reaches("late", "web")


def test_everything_at_once(lan: Lan) -> None:
    """Daemon and its helper killed together: containers go on, the next daemon mends the rest."""
    inside = namespace(lan, "client")
    address = lan.address("web", "red")
    lan.daemon.kill9()
    lan.host.run(["kill", "-9", dataplane(lan)])
    assert outside(lan).endswith(" web")
    lan.daemon.start()
    eventually(lambda: address in dig(lan, inside, "web"))


def test_configuration_that_somebody_spoils(lan: Lan) -> None:
    """A rule, an address or a link that is gone is put back by the next daemon."""
    state = lan.host.snapshot()
    bridge = lan.bridge("red")
    lan.daemon.kill9()
    lan.host.shell(
        f"iptables -F DOCKER-ISOLATION-STAGE-2; iptables -t nat -F DOCKER; ip addr flush dev {bridge}"
    )
    assert lan.host.snapshot() != state
    lan.daemon.start()
    assert lan.host.snapshot() == state
    assert outside(lan).endswith(" web")


def test_two_daemons(lan: Lan) -> None:
    """A second daemon on the same files refuses to start and harms nothing."""
    command = lan.daemon._command  # the same words again
    state = lan.host.snapshot()
    with pytest.raises(CommandFailed, match="another daemon"):
        lan.host.run(command, timeout=20)
    assert lan.host.snapshot() == state
    assert outside(lan).endswith(" web")


def test_after_a_crowd(fresh: str, lan: Lan) -> None:
    """When all that was made is removed, nothing of it is left on the host."""
    for number in range(3):
        lan.create(f"net{number}")
        for twin in ("aa", "bb"):
            lan.run(
                f"{twin}{number}",
                f"--network net{number} -p {9000 + number * 2 + (twin == 'bb')}:80",
            )
    lan.docker("network", "connect", "net0", "aa1")
    lan.daemon.kill9()
    lan.daemon.start()
    tidy(lan.daemon)
    eventually(lambda: lan.host.snapshot() == fresh)
    assert [line for line in lan.host.processes() if "sleep" in line] == []
    assert not re.search(r"\b(8080|900\d)\b", lan.host.run(["ss", "-ltnu"]).stdout)
    lan.daemon.stop()
    assert lan.host.snapshot() == fresh
