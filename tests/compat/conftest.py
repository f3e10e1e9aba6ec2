"""The machine and daemon that end-to-end tests have, for the comparison with Docker's answers."""

from __future__ import annotations

from tests.docker.conftest import daemon, machine, neighbour, switch

__all__ = ["daemon", "machine", "neighbour", "switch"]
