"""testcontainers for Python: a test suite that starts what it tests against."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.docker.tidy import Traces
from tests.lab import Daemon
from tests.lab.daemon import SOCKET

pytestmark = pytest.mark.root

SUITE = Path(__file__).with_name("containers.py")


def test_a_suite(daemon: Daemon, traces: Traces) -> None:
    """Its containers see each other by alias, it sees them by their ports, and all goes again."""
    env = {
        "DOCKER_HOST": f"unix://{SOCKET}",
        # The reaper is an image of a registry's; it tidies up after suites that were killed.
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }
    done = daemon.machine.run([sys.executable, "-W", "ignore", str(SUITE)], timeout=180, env=env)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "by_port": "hello\n",
        "by_alias": "hello\n",
        "code": 0,
        "logs": "serving\n",
    }
    assert daemon.api("GET", "/containers/json?all=1").json == []
    assert len(daemon.api("GET", "/networks").json) == 3
    traces.none()
