"""One machine with a daemon for all projects of a module; each test leaves it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.docker.images import make_tools
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine, Switch
from tests.tools.project import Project


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """An Ethernet segment."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(switch: Switch) -> Iterator[Daemon]:
    """The module's daemon, with the images `busybox` and `tools`."""
    with Daemon(switch.machine("host")) as running:
        running.import_busybox()
        make_tools(running)
        yield running


@pytest.fixture(scope="module")
def neighbour(daemon: Daemon, switch: Switch) -> Machine:
    """Another machine on the same segment."""
    return switch.machine("neighbour")


@pytest.fixture(scope="module")
def traces(daemon: Daemon) -> Traces:
    """The machine as it was when nothing had been done."""
    return Traces(daemon)


@pytest.fixture
def project(daemon: Daemon, traces: Traces) -> Iterator[Callable[[str, str], Project]]:
    """Makes projects; what they leave behind is a failure unless the test says otherwise."""
    yield lambda name, text: Project(daemon, name, text)
    traces.none()
