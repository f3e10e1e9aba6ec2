"""Sandboxes without a container, beside containers: names, packets, ports, restarts, refusals."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def front(traces: Traces, daemon: Daemon) -> Iterator[Daemon]:
    """A network, a container `web` on it, and a namespace `b` of `ip netns`; nothing is left."""
    daemon.machine.run(["ip", "netns", "add", "b"])
    daemon.fairlead("network", "create", "--subnet", "10.5.0.0/24", "front")
    daemon.fairlead("run", "-d", "--name", "web", "--network", "front", "busybox", "sleep", "9999")
    yield daemon
    boxes = daemon.fairlead("sandbox", "ls", "-q").stdout.split()
    if boxes:
        daemon.fairlead("sandbox", "rm", *boxes)
    daemon.fairlead("rm", "-f", "web")
    daemon.fairlead("network", "rm", "front")
    daemon.machine.run(["ip", "netns", "delete", "b"])
    traces.none()


def ask(daemon: Daemon, sandbox: str, name: str) -> subprocess.CompletedProcess[str]:
    """What a program in a sandbox finds under a name."""
    return daemon.fairlead("sandbox", "exec", sandbox, "getent", "ahostsv4", name, check=False)


def reaches(daemon: Daemon, container: str, name: str) -> bool:
    """Whether a container's ping comes back from a name."""
    done = daemon.fairlead("exec", container, "ping", "-c", "1", "-W", "5", name, check=False)
    return done.returncode == 0


def test_they_meet_containers_by_name(front: Daemon) -> None:
    """Both ways, with aliases, for one that fairlead made and one that it adopted."""
    front.fairlead("sandbox", "create", "--network", "front", "--ip", "10.5.0.10",
                   "--alias", "db", "a")  # fmt: skip
    front.fairlead("sandbox", "adopt", "b", "b")
    front.fairlead("sandbox", "join", "--alias", "bee", "b", "front")

    for sandbox in ("a", "b"):
        assert ask(front, sandbox, "web").stdout.split()[0].startswith("10.5.0.")
    for name in ("a", "db", "10.5.0.10", "b", "bee"):
        assert reaches(front, "web", name), name


def test_everything_shows_them(front: Daemon) -> None:
    """ls with its formats, inspect, network inspect, tree and explain; a docker CLI as well."""
    front.fairlead("sandbox", "create", "--network", "front", "-p", "8080:80", "a")
    front.fairlead("sandbox", "adopt", "b", "/run/netns/b")

    header, first, second = front.fairlead("sandbox", "ls").stdout.splitlines()
    assert header.split("  ")[0] == "SANDBOX ID"
    assert "0.0.0.0:8080->80/tcp" in first
    assert "/run/netns/b" in second
    template = "{{.Name}}={{.Networks}}"
    listed = front.fairlead("sandbox", "ls", "--format", template).stdout.split()
    assert listed == ["a=front", "b="]
    assert len(front.fairlead("sandbox", "ls", "-q", "--no-trunc").stdout.split()[0]) == 64
    (shown,) = json.loads(front.fairlead("sandbox", "inspect", "a").stdout)
    assert shown["Networks"]["front"]["Interface"] == "eth0"
    members = json.loads(front.docker("network", "inspect", "front").stdout)[0]["Containers"]
    assert {member["Name"] for member in members.values()} == {"a", "web"}
    assert " a " in front.fairlead("network", "tree").stdout
    assert "because a is on network front" in front.fairlead("explain", "a").stdout


def test_they_stay_over_a_restart(front: Daemon) -> None:
    """Killed or stopped, the daemon finds them again; their programs never noticed."""
    front.fairlead("sandbox", "create", "--network", "front", "-p", "8080:80", "a")
    front.fairlead("sandbox", "adopt", "--network", "front", "b", "b")
    before = front.machine.snapshot()

    front.kill9()
    front.start()

    assert front.machine.snapshot() == before
    assert reaches(front, "web", "a")
    assert reaches(front, "web", "b")
    front.restart()
    assert front.machine.snapshot() == before
    assert ask(front, "b", "web").returncode == 0


def test_ports_come_and_go(front: Daemon, neighbour: Machine) -> None:
    """Published on a live sandbox, reached from another machine, and closed again."""
    front.fairlead("sandbox", "create", "--network", "front", "a")
    key = json.loads(front.fairlead("sandbox", "inspect", "a").stdout)[0]["SandboxKey"]
    program = "import socket; s = socket.create_server(('', 80))\nwhile s: s.accept()[0].send(b'a')"
    serving = front.machine.popen(["nsenter", f"--net={key}", "python3", "-c", program])

    said = front.fairlead("sandbox", "publish", "a", "8080:80").stdout
    assert "80/tcp -> 0.0.0.0:8080" in said.splitlines()
    assert _hears(neighbour, front.machine) == "a"
    assert front.fairlead("sandbox", "unpublish", "a", "8080:80").stdout == ""
    assert _hears(neighbour, front.machine) == ""

    front.fairlead("sandbox", "publish", "--from", "203.0.113.0/24", "a", "8080:80")
    assert _hears(neighbour, front.machine) == ""
    assert _hears(front.machine, front.machine) == "a"
    again = front.fairlead("sandbox", "publish", "a", "8080:80", check=False)
    assert "for other callers" in again.stderr
    assert front.fairlead("sandbox", "unpublish", "a", "8080:80").stdout == ""
    near = f"{neighbour.address}/32"
    front.fairlead("sandbox", "publish", "--from", near, "a", "8080:80")
    assert _hears(neighbour, front.machine) == "a"
    front.fairlead("sandbox", "unpublish", "a", "8080:80")
    serving.kill()
    serving.wait()
    assert serving.stdout is not None
    serving.stdout.close()


def _hears(machine: Machine, server: Machine) -> str:
    program = (
        "import socket, sys, time\n"
        "end = time.monotonic() + float(sys.argv[2])\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with socket.create_connection((sys.argv[1], 8080), 2) as peer:\n"
        "            sys.exit(print(peer.recv(10).decode()))\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
    )
    words = ["python3", "-c", program, str(server.address), "3"]
    return machine.run(words, timeout=60).stdout.strip()


def test_docker_network_connect_takes_them_too(front: Daemon) -> None:
    """A docker CLI joins and parts a sandbox as if it were a container."""
    front.fairlead("sandbox", "create", "a")

    front.docker("network", "connect", "--ip", "10.5.0.33", "front", "a")
    assert reaches(front, "web", "10.5.0.33")
    front.docker("network", "disconnect", "front", "a")

    assert not reaches(front, "web", "10.5.0.33")
    front.fairlead("sandbox", "join", "a", "front")
    front.fairlead("sandbox", "leave", "a", "front")
    assert front.fairlead("sandbox", "ls", "--format", "{{.Networks}}").stdout == "\n"


def test_removing_leaves_what_was_there(front: Daemon) -> None:
    """Links, rules and mounts are as before, and the namespace of others stands."""
    before = front.machine.snapshot()
    front.fairlead("sandbox", "create", "--network", "front", "-p", "8080:80", "a")
    front.fairlead("sandbox", "adopt", "--network", "front", "b", "b")

    assert front.fairlead("sandbox", "rm", "a", "b").stdout.split() == ["a", "b"]
    front.restart()

    assert front.machine.snapshot() == before
    assert "b" in front.machine.run(["ip", "netns", "list"]).stdout.split()


def test_exec_is_as_a_shell_would_have_it(front: Daemon) -> None:
    """Statuses, arguments that look like options, the sandbox's own files."""
    front.fairlead("sandbox", "create", "--network", "front", "--hostname", "first", "a")

    def run(*words: str) -> tuple[int, str]:
        done = front.fairlead("sandbox", "exec", "a", *words, check=False)
        return done.returncode, done.stdout

    assert run("sh", "-c", "exit 7")[0] == 7
    assert run("/no/such/thing")[0] == 127
    assert run("/etc/passwd")[0] == 126
    assert run("echo", "--format", "-q") == (0, "--format -q\n")
    assert "first" in run("cat", "/etc/hosts")[1]
    assert "nameserver 127.0.0.11" in run("cat", "/etc/resolv.conf")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("adopt x", "name the namespace to adopt: a name of `ip netns`, a path, or --pid"),
        ("adopt x y --pid 1", "name the namespace to adopt: a name of `ip netns`, a path, or --pid"),
        ("adopt x nosuch", "Error response from daemon: no network namespace at /run/netns/nosuch"),
        ("adopt x --pid 1", "/proc/1/ns/net is the host's own network namespace"),
        ("adopt x --pid -1", "invalid pid -1"),
        ("create web", "is called web"),
        ("create ../x", "invalid sandbox name '../x'"),
        ("create --network nosuch x", "network nosuch not found"),
        ("create --ip 10.5.0.7 x", "name it with --network"),
        ("create -p 80/icmp x", "invalid protocol 'icmp'"),
        ("join nosuch front", "sandbox nosuch not found"),
        ("leave web front", "sandbox web not found"),
        ("rm web", "sandbox web not found"),
        ("exec nosuch true", "sandbox nosuch not found"),
        ("publish nosuch 80", "sandbox nosuch not found"),
    ],
)  # fmt: skip
def test_what_is_refused(front: Daemon, words: str, said: str) -> None:
    """In one clear line, and nothing is made."""
    done = front.fairlead("sandbox", *words.split(), check=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert front.fairlead("sandbox", "ls", "-q").stdout == ""
