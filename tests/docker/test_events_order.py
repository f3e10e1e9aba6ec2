"""What is told of a container's life, in which order, and what follows it through restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """Networks `red` and `blue`."""
    made = Lan(daemon, neighbour)
    made.create("red")
    made.create("blue")
    yield made
    traces.none()


class Story:
    """Reads on in what has happened, from where it was left."""

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._last = time.time_ns()

    def goes_on(self) -> list[str]:
        """Type and action of each event since the last time."""
        found = [e for e in self._lan.events() if e["timeNano"] > self._last]
        self._last = max(e["timeNano"] for e in found)
        told = []
        for event in found:
            where = (
                event["Actor"]["Attributes"].get("name", "") if event["Type"] == "network" else ""
            )
            told.append(f"{event['Type']} {event['Action']} {where}".strip())
        return told


UP = ["network connect red", "volume mount", "container start"]
DOWN = ["network disconnect red", "volume unmount"]


def test_a_life(lan: Lan) -> None:
    """From creation to destruction, as Docker 28 tells it."""
    lan.docker("volume", "create", "kept")
    story = Story(lan)
    lan.run("app", "--network red -v kept:/kept")
    assert story.goes_on() == ["container create", *UP]
    lan.docker("network", "connect", "blue", "app")
    lan.docker("network", "disconnect", "blue", "app")
    assert story.goes_on() == ["network connect blue", "network disconnect blue"]
    lan.docker("rename", "app", "web")
    lan.docker("pause", "web")
    lan.docker("unpause", "web")
    assert story.goes_on() == [f"container {verb}" for verb in ("rename", "pause", "unpause")]
    lan.docker("restart", "-t", "0", "web")
    kills = ["container kill", "container kill"]
    stop = [*kills, *DOWN, "container stop", "container die"]
    assert story.goes_on() == [*stop, *UP, "container restart"]
    lan.docker("stop", "-t", "0", "web")
    assert story.goes_on() == stop
    lan.docker("start", "web")
    lan.docker("kill", "web")
    assert story.goes_on() == [*UP, "container kill", *DOWN, "container die"]
    lan.docker("rm", "web")
    assert story.goes_on() == ["container destroy"]


def test_one_that_ends_by_itself(lan: Lan) -> None:
    """It dies, and nobody stopped it."""
    story = Story(lan)
    lan.docker("run", "--rm", "--network", "red", "busybox", "true")
    told = story.goes_on()
    told.remove("container attach")
    assert told == [
        "container create",
        "network connect red",
        "container start",
        "network disconnect red",
        "container die",
        "container destroy",
    ]


def test_what_is_said_of_a_mount(lan: Lan) -> None:
    """Where it is, and whether it can be written to."""
    lan.docker("volume", "create", "kept")
    lan.run("app", "-v kept:/kept:ro")
    (mount,) = lan.events(
        "type=volume", "event=mount", f"container={lan.docker('ps', '-q', '--no-trunc').strip()}"
    )
    attributes = mount["Actor"]["Attributes"]
    assert mount["Actor"]["ID"] == "kept"
    assert attributes["destination"] == "/kept"
    assert attributes["read/write"] == "false"
    assert attributes["driver"] == "local"


def test_logs_follow_over_restarts(lan: Lan) -> None:
    """Who follows a log hears every life of the container, up to the end of the last."""
    script = "echo life $(date +%N); exec sleep 1000000"
    lan.docker("run", "-d", "--name", "app", "busybox", "sh", "-c", script)
    command, env = lan.daemon.docker_command("logs", "-f", "app")
    with lan.host.popen(command, env=env) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline().startswith("life ")
        for _ in range(2):
            lan.docker("restart", "-t", "0", "app")
            assert logs.stdout.readline().startswith("life ")
        lan.docker("update", "--restart", "always", "app")
        pid = lan.docker("inspect", "-f", "{{.State.Pid}}", "app").strip()
        lan.host.run(["kill", "-9", pid])
        assert logs.stdout.readline().startswith("life ")
        lan.docker("stop", "-t", "0", "app")
        assert logs.stdout.readline() == ""
        assert logs.wait(120) == 0


def outside(lan: Lan) -> str:
    """Asks the published port from the neighbour; the name of who answers."""
    words = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080"]
    return lan.neighbour.run(words).stdout.split()[-1]


def way_out(lan: Lan) -> str:
    """The interface through which `app` reaches the world."""
    return lan.inside("app", "ip route show default").split()[4]


def test_the_gateway_moves_with_priority(lan: Lan) -> None:
    """A network of higher priority takes over route and ports, and gives them back."""
    lan.create("inner", "--internal")
    lan.serve("app", "tcp:80", "--network red -p 8080:80")
    assert (way_out(lan), outside(lan)) == ("eth0", "app")
    lan.docker("network", "connect", "inner", "--gw-priority", "99", "app")
    assert (way_out(lan), outside(lan)) == ("eth0", "app")
    lan.docker("network", "connect", "blue", "--gw-priority", "5", "app")
    assert (way_out(lan), outside(lan)) == ("eth2", "app")
    lan.docker("network", "disconnect", "red", "app")
    assert (way_out(lan), outside(lan)) == ("eth2", "app")
    lan.docker("network", "connect", "red", "--gw-priority", "6", "app")
    assert (way_out(lan), outside(lan)) == ("eth0", "app")
    lan.docker("restart", "-t", "0", "app")
    logs = "/containers/app/logs?stdout=1"
    eventually(lambda: lan.daemon.api("GET", logs).body.count(b"ready") == 2)
    found = lan.endpoints("app")
    route = lan.inside("app", "ip route show default").split()[2]
    assert route == found["red"]["Gateway"]
    assert outside(lan) == "app"
    lan.docker("network", "disconnect", "red", "app")
    assert outside(lan) == "app"
    lan.docker("network", "disconnect", "blue", "app")
    assert lan.inside("app", "ip route show default") == ""
    assert lan.docker("port", "app") == ""
    assert outside(lan) == "refused"
    lan.docker("network", "connect", "blue", "app")
    assert outside(lan) == "app"


def test_force_names_an_endpoint(lan: Lan) -> None:
    """Disconnecting with force takes the id of an endpoint, and nothing that is not on it."""
    lan.run("app", "--network red")
    lan.docker("network", "connect", "blue", "app")
    endpoint = lan.endpoints("app")["red"]["EndpointID"]
    for network, ref, status in (
        ("blue", endpoint, 404),
        ("red", endpoint[:8], 404),
        ("red", "nosuch", 404),
        ("red", endpoint, 200),
        ("red", endpoint, 404),
    ):
        body = {"Container": ref, "Force": True}
        answer = lan.daemon.api("POST", f"/networks/{network}/disconnect", body)
        assert answer.status == status, (network, ref)
        if status == 404:
            assert answer.json["message"] == f"endpoint {ref} not found"
    assert set(lan.endpoints("app")) == {"blue"}
    lan.docker("network", "rm", "red")


def test_a_network_of_the_dead(lan: Lan) -> None:
    """Containers that died while no daemon looked keep no network, nor does a killed runtime."""
    lan.run("app", "--network red")
    lan.run("other", "--network red")
    pids = lan.docker("inspect", "-f", "{{.State.Pid}}", "app", "other").split()
    lan.daemon.kill9()
    conmons = [
        line.split()[0]
        for line in lan.host.run(["ps", "-eo", "pid,comm"]).stdout.splitlines()
        if line.endswith("conmon")
    ]
    lan.host.run(["kill", "-9", *conmons, *pids])
    lan.daemon.start()
    assert lan.network("red")["Containers"] == {}
    lan.docker("network", "rm", "red")
    lan.docker("rm", "app", "other")
