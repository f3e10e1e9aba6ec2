"""Health checks that really run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.images import make
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

OFTEN = ("--health-interval", "100ms")


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A daemon without containers."""
    yield Lan(daemon, neighbour)
    traces.none()


def run(lan: Lan, *options: str, image: str = "busybox") -> None:
    """Runs `web` with options."""
    lan.docker("run", "-d", "--name", "web", *options, image, "sleep", "1000000")


def health(lan: Lan) -> dict[str, Any]:
    """What inspect says about the health of `web`."""
    found: dict[str, Any] = lan.daemon.api("GET", "/containers/web/json").json["State"]["Health"]
    return found


def becomes(lan: Lan, status: str) -> None:
    """Waits for a health."""
    eventually(lambda: health(lan)["Status"] == status)


def shown(lan: Lan, *options: str) -> str:
    """The status in `docker ps`."""
    return lan.docker("ps", "--format", "{{.Status}}", *options).strip()


def test_a_life(lan: Lan) -> None:
    """Starting, healthy, unhealthy and healthy again: in inspect, ps, filters and events."""
    # While it starts no failure counts, however long it takes to ask.
    starting = ("--health-start-period", "10m")
    run(lan, "--health-cmd", "echo looked; cat /up", *OFTEN, "--health-retries", "2", *starting)
    assert health(lan)["Status"] == "starting"
    assert shown(lan).endswith("(health: starting)")
    lan.inside("web", "touch /up")
    becomes(lan, "healthy")
    assert shown(lan).endswith("(healthy)")
    assert shown(lan, "--filter", "health=unhealthy") == ""
    lan.inside("web", "rm /up")
    becomes(lan, "unhealthy")
    assert shown(lan, "--filter", "health=unhealthy").endswith("(unhealthy)")
    found = health(lan)
    assert found["FailingStreak"] >= 2
    assert len(found["Log"]) <= 5
    last = found["Log"][-1]
    assert last["ExitCode"] == 1
    assert "looked\n" in last["Output"]
    assert "No such file" in last["Output"]
    assert last["Start"] < last["End"]
    lan.inside("web", "touch /up")
    becomes(lan, "healthy")
    assert health(lan)["FailingStreak"] == 0
    said = [event["Action"] for event in lan.events("event=health_status")]
    assert said == [f"health_status: {s}" for s in ("healthy", "unhealthy", "healthy")]


def test_of_the_image(lan: Lan) -> None:
    """HEALTHCHECK counts, the user's word more, and --no-healthcheck most."""
    make(lan.daemon, "checked", "HEALTHCHECK CMD cat /up")
    run(lan, *OFTEN, image="checked")
    config = lan.daemon.api("GET", "/containers/web/json").json["Config"]
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "cat /up"], "Interval": 100_000_000}
    lan.inside("web", "touch /up")
    becomes(lan, "healthy")
    lan.docker("rm", "-f", "web")
    run(lan, "--no-healthcheck", image="checked")
    state = lan.daemon.api("GET", "/containers/web/json").json["State"]
    assert "Health" not in state
    assert shown(lan, "--filter", "health=none").startswith("Up")
    lan.docker("rm", "-f", "web")


def test_too_slow(lan: Lan) -> None:
    """A probe that takes too long has failed, and is ended."""
    run(
        lan,
        "--health-cmd",
        "echo hm; exec sleep 54321",
        *OFTEN,
        "--health-timeout",
        "300ms",
        "--health-retries",
        "1",
    )
    becomes(lan, "unhealthy")
    last = health(lan)["Log"][0]
    assert last["ExitCode"] == -1
    assert last["Output"] == "Health check exceeded timeout (300ms): hm\n"
    lan.docker("pause", "web")
    lan.docker("unpause", "web")
    lan.docker("stop", "-t", "0", "web")
    eventually(lambda: not any("54321" in line for line in lan.host.processes()))


def test_the_start_period(lan: Lan) -> None:
    """Failures do not count while a container is young, and it is looked at more often."""
    run(
        lan, "--health-cmd", "cat /up", "--health-interval", "1h", "--health-retries", "1",
        "--health-start-period", "1h", "--health-start-interval", "100ms",
    )  # fmt: skip
    eventually(lambda: len(health(lan)["Log"]) >= 3)
    assert (health(lan)["Status"], health(lan)["FailingStreak"]) == ("starting", 0)
    lan.inside("web", "touch /up")
    becomes(lan, "healthy")


def test_a_program_that_is_not_there(lan: Lan) -> None:
    """That is a failure with a reason."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000000"],
        "Healthcheck": {"Test": ["CMD", "/nosuch"], "Interval": 100_000_000, "Retries": 1},
    }
    assert lan.daemon.api("POST", "/containers/create?name=web", body).status == 201
    lan.docker("start", "web")
    becomes(lan, "unhealthy")
    assert "/nosuch" in health(lan)["Log"][0]["Output"]


def test_over_restarts(lan: Lan) -> None:
    """The next daemon goes on from where it was; a container that starts again begins anew."""
    run(lan, "--health-cmd", "cat /up", *OFTEN)
    lan.inside("web", "touch /up")
    becomes(lan, "healthy")
    lan.daemon.kill9()
    lan.daemon.start()
    assert health(lan)["Status"] == "healthy"
    before = health(lan)["Log"][-1]["End"]
    eventually(lambda: health(lan)["Log"][-1]["End"] > before)
    lan.docker("stop", "-t", "0", "web")
    last = health(lan)["Log"][-1]["End"]
    assert shown(lan) == ""
    lan.docker("start", "web")
    eventually(lambda: health(lan)["Log"][-1]["End"] > last)
    becomes(lan, "healthy")


REFUSED = (
    (
        {"Test": ["CMD", "true"], "Interval": 1000},
        "Interval in Healthcheck cannot be less than 1ms",
    ),
    ({"Test": ["CMD", "true"], "Timeout": 1}, "Timeout in Healthcheck cannot be less than 1ms"),
    ({"Test": ["CMD", "true"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
)


def test_refused(lan: Lan) -> None:
    """What makes no sense is refused when the container is created."""
    for given, message in REFUSED:
        body = {"Image": "busybox", "Cmd": ["true"], "Healthcheck": given}
        answer = lan.daemon.api("POST", "/containers/create", body)
        assert (answer.status, answer.json["message"]) == (400, message)
