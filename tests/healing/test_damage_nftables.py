"""With nftables: what others break comes back by itself, and no foreign rule is touched."""

from __future__ import annotations

import pytest

from tests.healing.damage import HOST, NFTABLES, comes_back, survives_a_reload
from tests.healing.town import Town

pytestmark = pytest.mark.root
VANDALS = {**HOST, **NFTABLES}


@pytest.fixture(scope="module")
def backend() -> str:
    """The firewall of this module."""
    return "nftables"


@pytest.mark.parametrize("what", VANDALS)
def test_it_comes_back(town: Town, what: str) -> None:
    """Traffic flows again, what is forbidden is not, and the host is as it was."""
    comes_back(town, VANDALS[what])


def test_a_reload_of_somebody_elses_rules(town: Town) -> None:
    """Their rules are as they wrote them, and ours are there again."""
    survives_a_reload(town)
