"""Tables, durations, sizes and times as Docker prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli import output

HOUR = 3600
CELL = st.text(alphabet="abc é", max_size=15)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"),
        (1.6 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * 24 * HOUR, "13 days"),
        (14 * 24 * HOUR, "2 weeks"),
        (60 * 24 * HOUR, "2 months"),
        (730 * 24 * HOUR, "2 years"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """How long ago, in the unit a person would use."""
    assert output.lasted(seconds) == words


@pytest.mark.parametrize(
    ("size", "decimal", "binary"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1000B"),
        (4261234, "4.26MB", "4.064MiB"),
        (8_000_000_000, "8GB", "7.451GiB"),
    ],
)
def test_sizes(size: int, decimal: str, binary: str) -> None:
    """Thousands to three digits for storage, 1024s to four for memory."""
    assert (output.decimal_size(size), output.binary_size(size)) == (decimal, binary)


def test_a_table_is_aligned() -> None:
    """Columns are three blanks apart and ten wide at least; the last is not padded."""
    rows = [["NETWORK ID", "NAME", "SCOPE"], ["b2cce86b90d0", "bridge", "local"]]
    expected = "NETWORK ID     NAME      SCOPE\nb2cce86b90d0   bridge    local\n"
    assert output.table(rows) == expected


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6))
def test_columns_begin_below_each_other(rows: list[list[str]]) -> None:
    """Each cell of a column starts at the same place in every line."""
    lines = output.table(rows).splitlines()
    starts = [0]
    for index in range(2):
        starts.append(starts[-1] + max(10, *(len(row[index]) + 3 for row in rows)))
    for row, line in zip(rows, lines, strict=True):
        for cell, start in zip(row, starts, strict=True):
            assert line[start : start + len(cell)] == cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sleep 1", '"sleep 1"'),
        ('echo "hi"', r'"echo \"hi\""'),
        ("a\tb\n\\", r'"a\tb\n\\"'),
        ("\x01\x7f", r'"\x01\x7f"'),
        ("é…", '"é…"'),
    ],
)
def test_commands_are_quoted(text: str, shown: str) -> None:
    """A command keeps to one line and can be told from its surroundings."""
    assert output.quoted(text) == shown


def test_times_keep_their_nanoseconds() -> None:
    """The API's nine decimals are understood."""
    assert output.epoch("1970-01-01T00:00:01.500000000Z") == 1.5
    assert output.epoch("1970-01-01T01:00:01+01:00") == 1.0
    assert output.epoch("") == 0.0
