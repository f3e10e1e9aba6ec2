"""docs/compatibility.md claims nothing without a test: each row names tests that exist."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "compatibility.md"
JUDGEMENTS = ("same", "better", "different", "missing", "done", "partly")
HEADS = ("feature", "wish")
TEST = re.compile(r"`([\w/]+\.py)::((?:\w+::)?\w+)`")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    number: int
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"line {self.number}: {self.cells[0]}"


def rows() -> list[Row]:
    """Every row of every table but the first, which explains the words."""
    found = []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        if len(cells) == 4 and not set(cells[0]) <= set("-: ") and cells[0] not in HEADS:
            found.append(Row(number, cells))
    return found


ROWS = rows()


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of a file's tests, as pytest has them."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}::{method.name}" for method in inner}
        elif isinstance(node, ast.Assign):
            # A state machine's test case is a class that is not written as one.
            found |= {f"test_{t.id}" for t in node.targets if isinstance(t, ast.Name)}
    return frozenset(name for name in found if name.split("::")[-1].startswith("test_"))


def test_there_is_a_table() -> None:
    """The page is read as it is meant, or the rest here would prove nothing."""
    assert len(ROWS) > 100
    features = [row.cells[0] for row in ROWS]
    assert len(set(features)) == len(features), "a feature stands there twice"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_has_its_tests(row: Row) -> None:
    """Each row judges in one word, explains what is not the same, and is shown."""
    _, judgement, remark, shown = row.cells
    assert judgement in JUDGEMENTS
    assert remark or judgement == "same", "say what is other, and why"
    found = TEST.findall(shown)
    assert found, "no test"
    assert not TEST.sub("", shown).strip(", "), "something else than tests"
    for name, test in found:
        path = TESTS / name
        assert path.is_file(), f"there is no tests/{name}"
        there = names_in(path)
        assert test in there or f"test_{test}" in there, f"there is no {test} in tests/{name}"
