"""A machine with a daemon, two dual-stack networks and three containers, and a neighbour."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.conftest import machine, neighbour  # noqa: F401
from tests.docker.images import make_tools
from tests.docker.lan import Lan
from tests.docker.tidy import tidy
from tests.healing.town import Town
from tests.lab import Daemon, Machine, Switch


@pytest.fixture(scope="module")
def backend() -> str:
    """The firewall; a module that means the other says so."""
    return "iptables"


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A segment."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(backend: str, machine: Machine) -> Iterator[Daemon]:  # noqa: F811
    """The module's daemon."""
    with Daemon(machine, "--firewall-backend", backend) as running:
        running.import_busybox()
        make_tools(running)
        yield running


@pytest.fixture(scope="module")
def town(daemon: Daemon, neighbour: Machine) -> Iterator[Town]:  # noqa: F811
    """`red` with `web` (published) and `mate`, `blue` with `far`; one for all tests of a module."""
    made = Town(Lan(daemon, neighbour))
    made.build()
    made.settles()
    yield made
    tidy(daemon)
