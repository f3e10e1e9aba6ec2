"""Containers that really run, seen through the docker command line."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import Daemon

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def tidy(engine: Daemon) -> Iterator[None]:
    """Every test begins and ends without containers, and leaves nothing in the kernel."""
    yield
    ids = engine.docker("ps", "-aq").stdout.split()
    if ids:
        engine.docker("rm", "-f", "-v", *ids)
    found = engine.machine.run(
        [
            "sh",
            "-c",
            "ls /var/lib/fairlead/containers /run/fairlead/netns; grep merged /proc/mounts",
        ],
        check=False,
    ).stdout
    assert found.split() == ["/run/fairlead/netns:", "/var/lib/fairlead/containers:"]


def state(engine: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        engine.docker("inspect", "-f", "{{json .State}}", name).stdout
    )
    return found


def until(truth: Callable[[], bool], patience_seconds: float = 90) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + patience_seconds
    while not truth():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_output_and_exit_code(engine: Daemon) -> None:
    """Both streams and the code arrive, and --rm leaves nothing."""
    done = engine.docker(
        "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3", check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert engine.docker("ps", "-aq").stdout == ""


def test_input_arrives_whole(engine: Daemon) -> None:
    """Eight mebibytes go in through stdin, and its end with them."""
    content = os.urandom(8 << 20)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        done = engine.docker("run", "--rm", "-i", "busybox", "md5sum", stdin=file)

    assert done.stdout.split()[0] == hashlib.md5(content).hexdigest()


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_program_that_cannot_start(engine: Daemon, command: str, code: int, words: str) -> None:
    """The client gets the shell's codes, the state remembers them, and it can be removed."""
    done = engine.docker("run", "--name", "bad", "busybox", command, check=False)

    assert done.returncode == code
    assert words in done.stderr
    found = state(engine, "bad")
    assert (found["Status"], found["ExitCode"]) == ("created", code)
    assert words in found["Error"]


def test_a_failed_start_is_undone(engine: Daemon) -> None:
    """A port that is taken leaves neither interface nor mount, and --rm still removes."""
    engine.docker("run", "-d", "--name", "first", "-p", "8090:80", "busybox", "sleep", "60")

    done = engine.docker(
        "run", "--rm", "--name", "second", "-p", "8090:80", "busybox", "true", check=False
    )

    assert done.returncode == 125
    assert "Bind for 0.0.0.0:8090 failed: port is already allocated" in done.stderr
    assert engine.docker("ps", "-a", "--format", "{{.Names}}").stdout == "first\n"


def test_stop_and_start_again(engine: Daemon) -> None:
    """What it wrote stays, and the stop is the signal it asks for."""
    engine.docker(
        "run", "-d", "--name", "c1", "--stop-signal", "USR1", "busybox", "sh", "-c",
        "trap 'echo asked >> /said; exit 5' USR1; while :; do sleep 0.1; done",
    )  # fmt: skip
    engine.docker("stop", "c1")
    found = state(engine, "c1")
    assert (found["Status"], found["ExitCode"]) == ("exited", 5)
    assert engine.docker("stop", "c1").stdout == "c1\n"

    engine.docker("start", "c1")
    assert engine.docker("exec", "c1", "cat", "/said").stdout == "asked\n"


def test_stop_kills_in_the_end(engine: Daemon) -> None:
    """A program that does not listen gets SIGKILL after the timeout."""
    engine.docker("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; sleep 60")
    engine.docker("stop", "-t", "0", "deaf")

    assert state(engine, "deaf")["ExitCode"] == 137


def test_pause_and_stop(engine: Daemon) -> None:
    """A frozen container can be stopped all the same."""
    engine.docker("run", "-d", "--name", "c1", "busybox", "sleep", "60")
    engine.docker("pause", "c1")
    assert state(engine, "c1")["Status"] == "paused"
    refused = engine.docker("exec", "c1", "true", check=False)
    assert "is paused, unpause the container before exec" in refused.stderr

    engine.docker("stop", "-t", "0", "c1")
    assert state(engine, "c1")["Status"] == "exited"


def test_remove_needs_force(engine: Daemon) -> None:
    """Docker's words say what to do."""
    engine.docker("run", "-d", "--name", "c1", "busybox", "sleep", "60")

    refused = engine.docker("rm", "c1", check=False)
    assert (
        'cannot remove container "/c1": container is running: stop the container before removing '
        "or force remove"
    ) in refused.stderr
    engine.docker("rm", "-f", "c1")


def test_exec(engine: Daemon) -> None:
    """Codes, input, environment and users of further programs."""
    engine.docker("run", "-d", "--name", "c1", "-e", "A=1", "busybox", "sleep", "60")

    shown = engine.docker("exec", "-e", "B=2", "-u", "7:8", "-w", "/tmp", "c1", "sh", "-c",
                          "id -u; echo $A$B; pwd")  # fmt: skip
    assert shown.stdout == "7\n12\n/tmp\n"
    assert engine.docker("exec", "-i", "c1", "cat", stdin="x").stdout == "x"
    assert engine.docker("exec", "c1", "sh", "-c", "exit 9", check=False).returncode == 9
    assert engine.docker("exec", "c1", "nosuch", check=False).returncode == 127
    assert state(engine, "c1")["Status"] == "running"


def test_logs(engine: Daemon) -> None:
    """What was written is kept, may be followed, and ends with the container."""
    engine.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c",
                  "for i in 1 2 3; do echo $i; sleep 0.1; done")  # fmt: skip

    assert engine.docker("logs", "-f", "c1").stdout == "1\n2\n3\n"
    assert engine.docker("logs", "--tail", "1", "c1").stdout == "3\n"


def test_a_shared_network(engine: Daemon) -> None:
    """`container:` means one host name, one address, one localhost."""
    engine.docker("run", "-d", "--name", "owner", "--network", "n1", "busybox", "sleep", "60")
    seen = "hostname; cat /etc/hosts /etc/hostname /etc/resolv.conf; ip -4 -o addr show eth0"

    mine = engine.docker("exec", "owner", "sh", "-c", seen).stdout
    theirs = engine.docker(
        "run", "--rm", "--network", "container:owner", "busybox", "sh", "-c", seen
    ).stdout

    assert mine == theirs


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ("nosuch", "joining network namespace of container: No such container: nosuch"),
        ("idle", "cannot join network namespace of a non running container: idle"),
    ],
)
def test_sharing_needs_an_owner_that_runs(engine: Daemon, owner: str, message: str) -> None:
    """Refused at start, not at create."""
    engine.docker("create", "--name", "idle", "busybox")

    refused = engine.docker(
        "run", "--rm", "--network", f"container:{owner}", "busybox", check=False
    )
    assert message in refused.stderr


def test_volumes_are_filled_kept_and_removed(engine: Daemon) -> None:
    """A new volume has what the image has there; rm -v takes only the nameless."""
    engine.docker("run", "--name", "c1", "-v", "kept:/bin", "-v", "/anon", "busybox",
                  "touch", "/bin/mine")  # fmt: skip
    refused = engine.docker("volume", "rm", "kept", check=False)
    assert "volume is in use" in refused.stderr

    engine.docker("rm", "-v", "c1")
    assert engine.docker("volume", "ls", "-q").stdout == "kept\n"
    listing = engine.docker("run", "--rm", "-v", "kept:/v", "busybox", "ls", "/v").stdout
    assert {"mine", "sh"} <= set(listing.split())
    engine.docker("volume", "rm", "kept")


def test_copies_of_a_container_that_does_not_run(engine: Daemon) -> None:
    """Into it before its first start, and out after its last."""
    with tempfile.TemporaryDirectory(dir=engine.machine.path("/tmp")) as folder:
        inside = f"/tmp/{os.path.basename(folder)}"
        engine.docker("create", "--name", "c1", "busybox", "sh", "-c", "cat /in > /out")
        engine.machine.run(["sh", "-c", f"echo hello > {inside}/in"])
        engine.docker("cp", f"{inside}/in", "c1:/in")
        engine.docker("start", "-a", "c1")
        engine.docker("cp", "c1:/out", f"{inside}/out")

        assert engine.machine.run(["cat", f"{inside}/out"]).stdout == "hello\n"


def test_restarts_after_failures(engine: Daemon) -> None:
    """on-failure:2 gives up after two, and the code is the last one."""
    engine.docker("run", "-d", "--name", "c1", "--restart", "on-failure:2", "busybox", "sh", "-c",
                  "exit 4")  # fmt: skip
    until(lambda: state(engine, "c1")["Status"] == "exited")

    shown = engine.docker("inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}}", "c1").stdout
    assert shown == "2 4\n"


def test_stop_ends_a_restart_loop(engine: Daemon) -> None:
    """A person's word counts more than the policy."""
    engine.docker("run", "-d", "--name", "c1", "--restart", "always", "busybox", "false")
    until(lambda: state(engine, "c1")["Status"] == "restarting")
    engine.docker("stop", "c1")

    assert state(engine, "c1")["Status"] == "exited"


def test_events_of_a_life(engine: Daemon) -> None:
    """In the order that a daemon of Docker 28 was seen to tell them."""
    since = str(time.time())
    engine.docker("run", "-d", "--name", "c1", "--network", "n1", "busybox", "sleep", "60")
    engine.docker("stop", "-t", "0", "c1")
    engine.docker("rm", "c1")
    told = engine.docker("events", "--since", since, "--until", str(time.time()),
                         "--format", "{{.Type}} {{.Action}}").stdout  # fmt: skip

    assert told.splitlines() == [
        "container create",
        "network connect",
        "container start",
        "container kill",
        "container kill",
        "network disconnect",
        "container stop",
        "container die",
        "container destroy",
    ]
