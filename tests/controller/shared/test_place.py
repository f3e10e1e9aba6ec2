"""How keys are changed where hosts share them."""

from __future__ import annotations

from fairlead.controller.shared.place import Altering
from fairlead.store.shared import LARGEST_VALUE_BYTES
from tests.controller.shared.hosts import Content, Host, run


def test_values_too_large_for_one_request_are_written_one_by_one() -> None:
    """Two that each fit, and together do not."""
    content = Content()
    large = b"x" * (LARGEST_VALUE_BYTES - 10)
    steps = [Altering(lambda key=key: key, lambda _: large) for key in ("a", "b")]  # type: ignore[misc]
    run(Host(content).place.alter_all(*steps))
    assert content.pairs() == {"a": large, "b": large}
