"""The tables of observed answers can be read, and give a reason wherever fairlead differs."""

from __future__ import annotations

import pytest

from tests.compat.rows import OBSERVED, blocks

NAMES = sorted(path.stem for path in OBSERVED.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_every_difference_has_its_reason(name: str) -> None:
    """No row is without Docker's answer, and none differs without a word on why."""
    found = blocks(name)
    assert found
    assert len({block.label for block in found}) == len(found)
    for block in found:
        assert block.rows
        for row in block.rows:
            assert row.answers
            assert bool(row.ours) == bool(row.because), f"{block}: {row.path}"
            assert row.ours is None or row.ours != row.answers.get("28"), f"{block}: no difference"
