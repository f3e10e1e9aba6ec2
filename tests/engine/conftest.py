"""A machine with a daemon that has the image busybox, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Daemon, Switch


@pytest.fixture(scope="module")
def engine() -> Iterator[Daemon]:
    """A daemon with busybox and the network n1."""
    with Switch() as switch, Daemon(switch.machine()) as daemon:
        daemon.import_busybox()
        daemon.docker("network", "create", "n1")
        yield daemon
