"""One switch, one machine with a daemon and a neighbour for a whole module, to be quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.family import FAMILIES, HOST6, NEIGHBOUR6, Family, wired
from tests.docker.images import make_tools
from tests.docker.tidy import Traces, warmed
from tests.lab import Daemon, Machine, Switch


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """An Ethernet segment."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def machine(switch: Switch) -> Machine:
    """The machine that the daemon runs on."""
    return wired(switch.machine("host"), HOST6)


@pytest.fixture(scope="module")
def neighbour(machine: Machine, switch: Switch) -> Machine:
    """Another machine on the same segment."""
    return wired(switch.machine("neighbour"), NEIGHBOUR6)


@pytest.fixture(scope="module")
def daemon(machine: Machine) -> Iterator[Daemon]:
    """The module's daemon, with the images `busybox` and `tools`."""
    with Daemon(machine) as running:
        running.import_busybox()
        make_tools(running)
        yield running


@pytest.fixture(scope="module")
def traces(daemon: Daemon) -> Traces:
    """The machine as it was when the daemon had done nothing yet."""
    return warmed(daemon)


@pytest.fixture(params=FAMILIES, ids=lambda family: str(family.name))
def family(request: pytest.FixtureRequest) -> Family:
    """One family after the other."""
    found: Family = request.param
    return found
