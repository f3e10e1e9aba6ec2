"""Whom `fairlead explain` is asked about."""

from __future__ import annotations

import pytest

from fairlead.model.errors import NotFound
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World
from fairlead.plan.explain import explain

NETWORK = Network("abcd" * 16, "front", "bridge", 0)
BOX = Sandbox("1" * 64, "f00d" * 16, "abcd", "1" * 12)
WORLD = World().after(Change(put=(NETWORK, BOX)))


@pytest.mark.parametrize(
    ("ref", "who"),
    [
        ("abcd", "container abcd"),
        ("abcda", "network front"),
        ("front", "network front"),
        ("f00df", "container abcd"),
        ("f00d" * 16, "container abcd"),
    ],
)
def test_who_is_meant(ref: str, who: str) -> None:
    """Whoever is called so comes before whoever's id begins so, of either kind."""
    assert explain(WORLD, ref, {}, {})[0].startswith(who)


def test_too_little_of_an_id() -> None:
    """Three digits are nobody's name."""
    with pytest.raises(NotFound):
        explain(WORLD, "abc", {}, {})
