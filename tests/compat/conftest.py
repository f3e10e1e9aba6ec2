"""The machine and daemon that end-to-end tests have, for the comparison with Docker's answers."""

from __future__ import annotations

import pytest

from tests.docker.conftest import daemon, machine, neighbour, switch
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon

__all__ = ["daemon", "machine", "neighbour", "switch"]


@pytest.fixture(scope="module")
def traces(daemon: Daemon) -> Traces:
    """The machine as the first network with IPv6 left it, which turned forwarding on."""
    assert daemon.api("POST", "/networks/create", {"Name": "v6", "EnableIPv6": True}).status == 201
    assert daemon.api("DELETE", "/networks/v6").status == 204
    eventually(lambda: ":dying" not in daemon.machine.snapshot())
    return Traces(daemon)
