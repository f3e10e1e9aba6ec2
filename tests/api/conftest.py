"""Real servers on loops of their own, and a daemon without a host; none may leave a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.house import House
from tests.http.conftest import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["house", "serve"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One daemon for a module's tests, which clean up what they make."""
    built = House(tmp_path_factory.mktemp("house"))
    yield built
    built.close()
