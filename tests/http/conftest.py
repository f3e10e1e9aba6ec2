"""A factory of servers that must leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.http.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fairlead.http.server import Handler


class Serve(Protocol):
    """Starts a server for a handler, with limits by keyword."""

    def __call__(self, handler: Handler, **limits: Any) -> Served: ...


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Servers for this test; each is stopped after it and may leave no task."""
    started: list[Served] = []

    def start(handler: Handler, **limits: Any) -> Served:
        served = Served(tmp_path / f"s{len(started)}.sock", handler, **limits)
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()
