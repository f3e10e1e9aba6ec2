"""Containers outlive the daemon, and the next one finds them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab import Daemon

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def tidy(engine: Daemon) -> Iterator[None]:
    """Every test ends without containers."""
    yield
    if not engine.running:
        engine.start()
    ids = engine.docker("ps", "-aq").stdout.split()
    if ids:
        engine.docker("rm", "-f", *ids)


def statuses(engine: Daemon) -> dict[str, str]:
    lines = engine.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines()
    return dict(line.split() for line in lines)


def code(engine: Daemon, name: str) -> str:
    return engine.docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()


def test_kill_9_and_back(engine: Daemon) -> None:
    """What runs goes on, what ended meanwhile has its real code, --rm is made up for."""
    engine.docker("run", "-d", "--name", "on", "--network", "n1", "busybox", "sleep", "60")
    engine.docker("run", "-d", "--name", "frozen", "busybox", "sleep", "60")
    engine.docker("pause", "frozen")
    engine.docker("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 1; exit 7")
    engine.docker("run", "-d", "--rm", "--name", "goes", "busybox", "sleep", "1")
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "on").stdout
    engine.kill9()
    time.sleep(1.5)
    engine.start()

    assert statuses(engine) == {"on": "running", "frozen": "paused", "ends": "exited"}
    assert code(engine, "ends") == "7"
    assert engine.docker("inspect", "-f", "{{.State.Pid}}", "on").stdout == pid
    assert engine.docker("exec", "on", "echo", "here").stdout == "here\n"
    engine.docker("unpause", "frozen")
    engine.docker("stop", "-t", "0", "on", "frozen")
    assert statuses(engine) == {"on": "exited", "frozen": "exited", "ends": "exited"}


def test_policies_at_the_daemons_start(engine: Daemon) -> None:
    """`unless-stopped` remembers that a person stopped it; `always` runs anyway."""
    for policy in ("always", "unless-stopped"):
        for fate in ("runs", "stopped"):
            name = f"{policy}-{fate}"
            engine.docker(
                "run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "60"
            )
            if fate == "stopped":
                engine.docker("stop", "-t", "0", name)
    engine.restart()

    assert statuses(engine) == {
        "always-runs": "running",
        "always-stopped": "running",
        "unless-stopped-runs": "running",
        "unless-stopped-stopped": "exited",
    }


def test_a_host_that_went_down(engine: Daemon) -> None:
    """Everything died with nobody there: policies bring back what they name."""
    engine.docker("run", "-d", "--name", "plain", "busybox", "sleep", "60")
    engine.docker("run", "-d", "--name", "back", "--restart", "always", "busybox", "sleep", "60")
    pids = engine.docker("inspect", "-f", "{{.State.Pid}}", "plain", "back").stdout.split()
    engine.kill9()
    engine.machine.run(["kill", "-9", *pids])
    engine.start()

    assert statuses(engine) == {"plain": "exited", "back": "running"}
    assert code(engine, "plain") == "137"


def test_nothing_is_left_after_all(engine: Daemon) -> None:
    """Removed after a crash as before it."""
    engine.docker("run", "-d", "--name", "c1", "--network", "n1", "busybox", "sleep", "60")
    engine.kill9()
    engine.start()
    engine.docker("rm", "-f", "c1")

    left = engine.machine.run(
        [
            "sh",
            "-c",
            "ls /var/lib/fairlead/containers /run/fairlead/netns; grep merged /proc/mounts",
        ],
        check=False,
    ).stdout
    assert left.split() == ["/run/fairlead/netns:", "/var/lib/fairlead/containers:"]


def test_networks_are_kept_whatever_their_kind(engine: Daemon) -> None:
    """Also those that have no interface to show for it."""
    for mode in ("host", "none", "bridge", "n1"):
        engine.docker("run", "-d", "--name", mode, "--network", mode, "busybox", "sleep", "60")
    engine.docker("run", "-d", "--name", "guest", "--network", "container:n1", "busybox", "sleep", "60")  # fmt: skip
    form = "{{.Name}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
    names = ("host", "none", "bridge", "n1", "guest")
    before = engine.docker("inspect", "-f", form, *names).stdout
    engine.kill9()
    engine.start()

    assert engine.docker("inspect", "-f", form, *names).stdout == before
    assert before.splitlines()[:4] == [f"/{name} {name}" for name in names[:4]]
