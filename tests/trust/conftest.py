"""Checks that tests share explain themselves as those in tests do; and the chance in them."""

from __future__ import annotations

import os
import random

import pytest

pytest.register_assert_rewrite("tests.trust.operations", "tests.trust.scene")

from tests.trust.deaths import Seen  # noqa: E402


@pytest.fixture(scope="module")
def seen() -> Seen:
    """What this run has killed; the seed is printed with a failure."""
    seed = int(os.environ.get("FAIRLEAD_TRUST_SEED") or random.randrange(1 << 20))
    print(f"FAIRLEAD_TRUST_SEED={seed}")
    return Seen(seed)
