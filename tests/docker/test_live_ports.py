"""Ports that are published and taken back while the container runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A server `web` on ports 80 and 81 that is published on port 8080 of the host."""
    made = Lan(daemon, neighbour)
    made.create("red")
    made.serve("web", "tcp:80 tcp:81", "--network red -p 8080:80 --expose 81")
    yield made
    traces.none()


def outside(lan: Lan, port: int, protocol: str = "tcp") -> str:
    """Asks a port of the host from the neighbour; the name of who answers."""
    words = [PYTHON, str(TALK), "ask", protocol, str(lan.host.address), str(port)]
    return lan.neighbour.run(words).stdout.split()[-1]


def ports(lan: Lan, name: str = "web") -> list[str]:
    """What `docker port` says, one line an entry."""
    return lan.docker("port", name).splitlines()


BOTH = ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]


def test_added_and_removed(lan: Lan) -> None:
    """A new port answers at once, is seen by every client, and is closed as quickly."""
    said = lan.daemon.fairlead("port", "add", "web", "9090:80", "127.0.0.1:9191:81").stdout

    assert outside(lan, 9090) == "web"
    assert outside(lan, 8080) == "web"
    assert outside(lan, 9191) == "refused"
    local = [PYTHON, str(TALK), "ask", "tcp", "127.0.0.1", "9191"]
    assert lan.host.run(local).stdout.split()[-1] == "web"
    assert said.splitlines() == ports(lan)
    assert "81/tcp -> 127.0.0.1:9191" in ports(lan)
    shown = lan.daemon.api("GET", "/containers/web/json").json
    assert shown["HostConfig"]["PortBindings"]["80/tcp"] == [
        {"HostIp": "", "HostPort": "8080"},
        {"HostIp": "", "HostPort": "9090"},
    ]
    assert shown["NetworkSettings"]["Ports"]["81/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": "9191"}
    ]

    lan.daemon.fairlead("port", "rm", "web", "9090:80", "81")
    assert outside(lan, 9090) == "refused"
    assert outside(lan, 8080) == "web"
    assert ports(lan) == BOTH


def test_a_connection_outlives_other_ports(lan: Lan) -> None:
    """Adding and removing ports does not touch the ones that stay."""
    words = [PYTHON, "-u", str(TALK), "converse", str(lan.host.address), "8080"]
    with lan.neighbour.popen(words, stdin=-1) as talk:
        assert talk.stdin is not None
        assert talk.stdout is not None
        assert talk.stdout.readline().split()[-1] == "web"
        lan.daemon.fairlead("port", "add", "web", "9090:80")
        lan.daemon.fairlead("port", "rm", "web", "9090:80")
        print("still there", file=talk.stdin, flush=True)
        assert talk.stdout.readline() == "still there\n"
        talk.kill()


def test_all_or_nothing(lan: Lan) -> None:
    """If one of several cannot be had, none is, and the message names who has it."""
    lan.run("other", "-p 9292:80")
    before = lan.daemon.api("GET", "/containers/web/json").json["HostConfig"]
    rules = lan.host.snapshot()

    done = lan.daemon.fairlead("port", "add", "web", "9090:80", "9292:81", check=False)

    assert done.returncode == 1
    assert "Bind for 0.0.0.0:9292 failed: port is already allocated" in done.stderr
    assert "container other publishes it" in done.stderr
    assert ports(lan) == BOTH
    assert lan.host.snapshot() == rules
    assert lan.daemon.api("GET", "/containers/web/json").json["HostConfig"] == before
    assert outside(lan, 9090) == "refused"


def test_kept_over_restarts(lan: Lan) -> None:
    """Container and daemon start again with the ports as they were last."""
    lan.daemon.fairlead("port", "add", "web", "9090:80")
    lan.daemon.fairlead("port", "rm", "web", "8080:80")
    expected = ["80/tcp -> 0.0.0.0:9090", "80/tcp -> [::]:9090"]
    lan.docker("restart", "-t", "0", "web")
    assert ports(lan) == expected
    lan.daemon.kill9()
    lan.daemon.start()
    assert ports(lan) == expected
    assert outside(lan, 8080) == "refused"


def test_of_a_container_that_does_not_run(lan: Lan) -> None:
    """It has them when it starts."""
    lan.docker("stop", "-t", "0", "web")
    lan.daemon.fairlead("port", "add", "web", "9090:80")
    assert ports(lan) == []
    lan.docker("start", "web")
    assert "80/tcp -> 0.0.0.0:9090" in ports(lan)


def test_a_port_of_the_systems_choice(lan: Lan) -> None:
    """It is removed by the number that it got, or with all others of its port."""
    lan.daemon.fairlead("port", "add", "web", "81")
    lan.daemon.fairlead("port", "add", "web", "81")
    found = {line.rpartition(":")[2] for line in ports(lan) if line.startswith("81/tcp")}
    assert len(found) == 2
    first, second = sorted(found)
    lan.daemon.fairlead("port", "rm", "web", f"{first}:81")
    assert {line.rpartition(":")[2] for line in ports(lan)} == {"8080", second}
    assert outside(lan, int(second)) == "web"
    lan.daemon.fairlead("port", "rm", "web", "81")
    assert ports(lan) == BOTH


def test_published_because_all_are(lan: Lan) -> None:
    """Of a container run with -P one port can be closed; the others stay what they are."""
    lan.run("all", "-P --expose 80-82")
    before = ports(lan, "all")
    lan.daemon.fairlead("port", "rm", "all", "81")
    assert ports(lan, "all") == [line for line in before if not line.startswith("81/")]


REFUSED = (
    ("web", "rm", "82", 404, "No public port '82/tcp' published for web"),
    ("web", "rm", "8081:80", 404, "No public port '80/tcp' published for web"),
    (
        "hosted",
        "add",
        "80",
        400,
        "conflicting options: port publishing and the network mode",
    ),
    (
        "sidecar",
        "add",
        "80",
        400,
        "conflicting options: port publishing and the container type network mode",
    ),
    ("nosuch", "add", "80", 404, "No such container: nosuch"),
)


def test_refused(lan: Lan) -> None:
    """Where there is nothing to publish or to take back it is said, and nothing changes."""
    lan.run("hosted", "--network host")
    lan.run("sidecar", "--network container:web")
    before = lan.host.snapshot()
    for name, verb, spec, _, message in REFUSED:
        done = lan.daemon.fairlead("port", verb, name, spec, check=False)
        assert done.returncode == 1
        assert message in done.stderr
    for body, message in (
        ({}, "no ports given"),
        (None, "no ports given"),
        ({"PortBindings": None}, "no ports given"),
        ({"PortBindings": {"80/foo": None}}, "invalid proto: foo"),
        ({"PortBindings": {"99999/tcp": None}}, 'invalid port specification: "99999"'),
        ({"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}, 'invalid port specification: "x"'),
        ({"PortBindings": {"80/tcp": [{"HostIp": "x"}]}}, "invalid host IP address: x"),
    ):
        answer = lan.daemon.api("POST", "/fairlead/containers/web/ports", body)
        assert answer.status == 400
        assert answer.json["message"] == message
    assert lan.host.snapshot() == before
    assert ports(lan) == BOTH


READ = (
    "import sqlite3; db = sqlite3.connect('/var/lib/fairlead/fairlead.db');"
    "print(db.execute(\"SELECT hex(body) FROM document WHERE kind='container'\").fetchone()[0])"
)
WRITE = (
    "import sqlite3, sys; db = sqlite3.connect('/var/lib/fairlead/fairlead.db');"
    "body = bytes.fromhex(sys.argv[1]);"
    "db.execute(\"UPDATE document SET body=? WHERE kind='container'\", [body]); db.commit()"
)


def test_a_change_that_was_cut_short(lan: Lan) -> None:
    """What the record says is what the next daemon publishes, neither more nor less."""
    before = lan.host.run([PYTHON, "-c", READ]).stdout.strip()
    lan.daemon.fairlead("port", "add", "web", "9090:80")
    after = lan.host.run([PYTHON, "-c", READ]).stdout.strip()
    for record, answer in ((before, "refused"), (after, "web")):
        lan.daemon.kill9()
        lan.host.run([PYTHON, "-c", WRITE, record])
        lan.daemon.start()
        assert outside(lan, 9090) == answer
        assert outside(lan, 8080) == "web"
