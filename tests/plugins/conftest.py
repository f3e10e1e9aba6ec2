"""One machine with a daemon and a plugin for a whole module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.family import HOST6, NEIGHBOUR6, wired
from tests.docker.images import make_tools
from tests.docker.lan import Lan
from tests.docker.tidy import Traces, warmed
from tests.lab import Daemon, Machine, Switch
from tests.plugins.driver import Wires


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    """The daemon's machine and a neighbour."""
    with Switch() as switch:
        host = wired(switch.machine("host"), HOST6)
        yield host, wired(switch.machine("neighbour"), NEIGHBOUR6)


@pytest.fixture(scope="module")
def started(machines: tuple[Machine, Machine]) -> Iterator[tuple[Daemon, Wires]]:
    """The daemon, and a plugin called `wires`."""
    host, _ = machines
    with Wires(host, keep=True) as wires, Daemon(host) as daemon:
        daemon.import_busybox()
        make_tools(daemon)
        yield daemon, wires


@pytest.fixture(scope="module")
def traces(started: tuple[Daemon, Wires]) -> Traces:
    """The machine as it was when the daemon had done nothing yet."""
    return warmed(started[0])


@pytest.fixture
def wires(started: tuple[Daemon, Wires]) -> Wires:
    """The plugin with an empty log and no faults."""
    plugin = started[1]
    plugin.fail()
    plugin.live()
    plugin.forget()
    return plugin


@pytest.fixture
def lan(
    started: tuple[Daemon, Wires], machines: tuple[Machine, Machine], traces: Traces, wires: Wires
) -> Iterator[Lan]:
    """A clean start for each test, and no trace after it."""
    yield Lan(started[0], machines[1])
    wires.fail()
    wires.live()
    traces.none()
