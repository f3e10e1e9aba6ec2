"""The command line itself: where the daemon is, what goes wrong, and what is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fairlead import __version__
from fairlead.cli.main import COMMANDS, main
from tests.cli import oracle
from tests.cli.answers import NETWORKS
from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

BANNED = {"asyncio", "structlog", "rich", "prometheus_client", "pyroute2", "msgspec", "h11"}


def test_network_ls_loads_nothing_dear(recorder: Recorder) -> None:
    """A whole `network ls` runs without the daemon's libraries."""
    recorder.answers["GET /networks"] = NETWORKS
    program = (
        "import sys, json; from fairlead.cli.main import main; status = main(sys.argv[1:]);"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    env = {**os.environ, "FAIRLEAD_HOST": recorder.host}
    words = [sys.executable, "-c", program, "network", "ls"]
    done = subprocess.run(words, env=env, capture_output=True, check=True, timeout=120)
    assert b"net10" in done.stdout
    assert BANNED.isdisjoint(json.loads(done.stderr))


def _paths() -> Iterator[list[str]]:
    yield []
    for name, (where, _) in COMMANDS.items():
        # The daemon's own command needs what only a daemon needs.
        if name != "daemon":
            yield [name]
        if isinstance(where, dict):
            yield from ([name, inner] for inner in where)


@pytest.mark.parametrize("path", list(_paths()), ids=" ".join)
def test_every_command_explains_itself(path: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--help works for every command, names it and says what each option does."""
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage:  " + " ".join([*("fairlead",), *path])) or not path
    assert "Print usage" in text


def test_the_host_is_an_option_then_the_environment(
    process: Fairlead, recorder: Recorder, tmp_path: Path
) -> None:
    """-H wins over FAIRLEAD_HOST, which wins over DOCKER_HOST."""
    recorder.answers["GET /networks"] = []
    nowhere = f"unix://{tmp_path}/nowhere"
    ask = ["network", "ls", "-q"]
    assert process("-H", recorder.host, *ask, DOCKER_HOST=nowhere).status == 0
    assert process(*ask, DOCKER_HOST=nowhere, FAIRLEAD_HOST=recorder.host).status == 0
    assert process("-H", nowhere, *ask, FAIRLEAD_HOST=recorder.host).status == 1


def test_no_daemon_is_one_line_and_a_hint(process: Fairlead, tmp_path: Path) -> None:
    """Without a daemon nothing is printed but what to do."""
    said = process("-H", f"unix://{tmp_path}/none", "ps")
    assert (said.status, said.out) == (1, "")
    message, hint = said.err.splitlines()
    assert "Cannot connect" in message
    assert hint.startswith("hint: ")


def test_an_older_daemon_is_spoken_to_in_its_version(
    fairlead: Fairlead, recorder: Recorder
) -> None:
    """A Docker daemon of 2020 answers too."""
    recorder.api = "1.41"
    recorder.answers["GET /networks"] = NETWORKS
    assert fairlead("network", "ls", "-q").out.count("\n") == len(NETWORKS)
    assert [request.version for request in recorder.requests] == ["1.50", "1.41"]


def test_the_daemons_hint_is_shown(fairlead: Fairlead, recorder: Recorder) -> None:
    """What the daemon advises stands below what it refuses."""
    recorder.answers["POST /networks/create"] = Answer(
        {"message": "network with name n already exists", "hint": "remove it first"}, 409
    )
    said = fairlead("network", "create", "n")
    assert said.err == (
        "Error response from daemon: network with name n already exists\nhint: remove it first\n"
    )


def test_an_unknown_command_is_named(fairlead: Fairlead) -> None:
    """A word that is no command is refused with where to look."""
    said = fairlead("network", "foo")
    assert said.status == 1
    assert said.err.startswith("fairlead: unknown command: fairlead network foo\n")
    assert "Run 'fairlead network --help'" in said.err


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """-v prints the version and nothing else."""
    assert main(["-v"]) == 0
    assert capsys.readouterr().out == f"fairlead version {__version__}\n"


@pytest.mark.parametrize("args", [["network"], ["container"], []])
def test_a_group_alone_shows_its_commands(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A group without a command lists what it has."""
    assert main(args) == 0
    assert "Commands:" in capsys.readouterr().out


def test_a_reader_that_leaves_ends_it_quietly(recorder: Recorder) -> None:
    """`fairlead ps | head -0` says nothing on stderr."""
    rows = [{**NETWORKS[0], "Name": f"net{index}"} for index in range(5000)]
    recorder.answers["GET /networks"] = rows
    out, into = os.pipe()
    os.close(out)
    env = {**os.environ, "DOCKER_HOST": recorder.host}
    words = [*oracle.FAIRLEAD, "network", "ls"]
    done = subprocess.run(
        words, env=env, stdout=into, stderr=subprocess.PIPE, check=False, timeout=120
    )
    os.close(into)
    assert done.stderr == b""
    assert done.returncode == 141


def test_ctrl_c_ends_a_stream_cleanly(recorder: Recorder) -> None:
    """Interrupted while it waits for events, it says nothing and exits with 130."""
    never = threading.Event()
    recorder.answers["GET /events"] = Answer(b"", after=never)
    env = {**os.environ, "DOCKER_HOST": recorder.host}
    # A shell has whatever it starts in the background ignore interrupts, the tests as well.
    words = ["env", "--default-signal=INT", *oracle.FAIRLEAD, "events"]
    with subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 90
        while not recorder.find("GET", "/events"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert (out, err, process.returncode) == (b"", b"", 130)
