"""Failures that are kept for a moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.dns.failures import FAILED_SECONDS, Failures

STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 0.7)))


@given(STEPS)
def test_each_stands_for_a_second_from_its_last_failure(steps: list[tuple[str, float]]) -> None:
    """As a plain table of times says."""
    failures, last, now = Failures(), dict[str, float](), 0.0
    for key, pause in steps:
        now += pause
        for name in "abcdef":
            assert failures.stands(name, now) == (
                name in last and now < last[name] + FAILED_SECONDS
            )
        failures.note(key, now)
        last[key] = now


@given(STEPS)
def test_there_is_room_for_so_many(steps: list[tuple[str, float]]) -> None:
    """The newest stay."""
    failures, now = Failures(most=3), 0.0
    for key, pause in steps:
        now += pause
        failures.note(key, now)
        assert len(failures) <= 3
        assert failures.stands(key, now)
