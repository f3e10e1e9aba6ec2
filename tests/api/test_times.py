"""Times are written as Go writes them and read in every form that clients use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.api.times import (
    SECOND,
    duration,
    human,
    moment,
    rfc3339,
    rfc3339_fixed,
    to_nanoseconds,
)
from fairlead.model.errors import Invalid

NOW = 1_800_000_000 * SECOND


def test_trailing_zeros_are_left_out() -> None:
    """RFC3339Nano, to the nanosecond."""
    assert rfc3339(1_795_189_439_975_267_375) == "2026-11-20T15:43:59.975267375Z"
    assert rfc3339(1_795_189_439_500_000_000) == "2026-11-20T15:43:59.5Z"
    assert rfc3339(1_795_189_439_000_000_000) == "2026-11-20T15:43:59Z"
    assert rfc3339_fixed(1_795_189_439_500_000_000) == "2026-11-20T15:43:59.500000000Z"
    assert rfc3339(None) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1800000000", NOW),
        ("1800000000.5", NOW + SECOND // 2),
        ("1800000000.000000001", NOW + 1),
        ("10s", NOW - 10 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("1.5h", NOW - 5400 * SECOND),
        ("2027-01-15", NOW - 8 * 3600 * SECOND),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00.25Z", NOW + SECOND // 4),
        ("2027-01-15T10:00:00+02:00", NOW),
        ("2027-01-15T08:00", NOW),
    ],
)
def test_a_moment_is_read_in_every_form(text: str, expected: int) -> None:
    """Unix times, dates and lengths of time back from now."""
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["bar", "10x", "2027-13-01", "-", "1h2", "99999-01-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """In Docker's words."""
    with pytest.raises(Invalid) as bad:
        moment(text, NOW)
    assert bad.value.message == f'failed to parse value as time or duration: "{text}"'


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_writing_and_reading_a_time_gives_it_back(when: datetime) -> None:
    """Nothing is lost to floating point."""
    assert moment(rfc3339(to_nanoseconds(when)), NOW) == to_nanoseconds(when)


def test_durations_are_exact() -> None:
    """No rounding on the way."""
    assert duration("1us") == 1000
    assert duration("0.000000001s") == 1
    assert duration("") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_lengths_of_time_are_worded_as_in_docker_ps(seconds: float, text: str) -> None:
    """The STATUS column reads the same."""
    assert human(seconds) == text
