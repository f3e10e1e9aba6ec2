"""What hosts share is tested on stores that write one key at a time, and several at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controller.shared.hosts import kinds


@pytest.fixture(scope="module", autouse=True, params=["keys", "transactions"])
def kind(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the store of a module's tests can."""
    kinds.add(request.param)
    yield
    kinds.clear()
