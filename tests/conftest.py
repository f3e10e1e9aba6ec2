"""What every test gets: pretend machines on request; tests marked `root` skipped without it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import Daemon, Machine, Switch

pytest_plugins = ("tests.lab.in_vm",)

# How long anything takes is for bench/ to say: here the machine may be busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Files are run side by side: nobody is to wait for one of these at the end.
LONG = (
    "test_encrypt",
    "test_crash",
    "test_dataplane_dies",
    "test_switching",
    "test_damage_",
    "test_texts",
    "test_shared_faults",
    "test_faults",
    "test_cluster_machine",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first; tests that change kernel state are skipped when the user may not."""
    items.sort(key=_how_late)
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root: run `sudo make test` to include it")
    for item in items:
        if item.get_closest_marker("root") is not None:
            item.add_marker(skip)


def _how_late(item: pytest.Item) -> tuple[bool, bool]:
    """Values in, values out comes last: such a file is short, and fills what is left of a run."""
    real = any(item.get_closest_marker(name) is not None for name in ("root", "vm"))
    return not item.path.name.startswith(LONG), not real


@pytest.fixture
def switch() -> Iterator[Switch]:
    """An Ethernet segment to put machines on."""
    with Switch() as made:
        yield made


@pytest.fixture
def machine(switch: Switch) -> Machine:
    """A machine on the switch; more come from `switch.machine(name)`."""
    return switch.machine()


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Daemon]:
    """A fairlead daemon on the machine, answering."""
    with Daemon(machine) as running:
        yield running
