"""Checks that tests share explain themselves as those in tests do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.trust.operations", "tests.trust.scene")
