"""Two machines on one segment, each with a daemon, for a whole module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.tidy import Traces, warmed
from tests.lab import Daemon, Machine, Switch


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """The segment; its own address is 192.0.2.254."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def machine(switch: Switch) -> Machine:
    """The first machine: 192.0.2.1."""
    return switch.machine("one")


@pytest.fixture(scope="module")
def other(machine: Machine, switch: Switch) -> Machine:
    """The second machine: 192.0.2.2."""
    return switch.machine("two")


@pytest.fixture(scope="module")
def daemon(machine: Machine) -> Iterator[Daemon]:
    """The daemon of the first."""
    with Daemon(machine) as running:
        running.import_busybox()
        yield running


@pytest.fixture(scope="module")
def second(other: Machine) -> Iterator[Daemon]:
    """The daemon of the second."""
    with Daemon(other) as running:
        running.import_busybox()
        yield running


@pytest.fixture(scope="module")
def tracks(daemon: Daemon) -> Traces:
    """The first machine as it was."""
    return warmed(daemon)


@pytest.fixture
def one(daemon: Daemon, tracks: Traces) -> Iterator[Daemon]:
    """The daemon of the first machine, which is as it was after the test."""
    yield daemon
    tracks.none()
