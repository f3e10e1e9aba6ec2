"""The lists: choosing columns, filters and formats for every `ls`.

A list command gives its rows as JSON and its columns as a table of header and
function; this module does `-q`, `--format` and `--no-trunc` the same way for all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from fairlead.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Row = Mapping[str, Any]


class Column(NamedTuple):
    """A header, and what stands under it for a row."""

    header: str
    value: Callable[[Row], Any]


class Listing(NamedTuple):
    """What a list can show, and what it shows unless told otherwise."""

    columns: Mapping[str, Column]
    default: Sequence[str]
    quiet: str = "ID"

    def show(self, rows: Sequence[Row], *, quiet: bool = False, format: str = "") -> None:
        """Print the rows."""
        if quiet and format in ("", "table"):
            value = self.columns[self.quiet].value
            sys.stdout.write("".join(f"{value(row)}\n" for row in rows))
        elif format in ("", "table"):
            chosen = [self.columns[name] for name in self.default]
            lines = [[str(column.value(row)) for column in chosen] for row in rows]
            sys.stdout.write(output.table([[column.header for column in chosen], *lines]))
        else:
            self._formatted(rows, format)

    def _formatted(self, rows: Sequence[Row], format: str) -> None:
        from fairlead.cli import template, template_functions

        tabular = format.startswith("table")
        text = format.removeprefix("table").strip() if tabular else format
        if text == "json":
            text = "{{json .}}"
        made = template.parsed(text.replace("\\t", "\t").replace("\\n", "\n"))
        lines = [made.render(self._view(row)) for row in rows]
        if not tabular:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            return
        # A method's header is its argument: the label that was asked for.
        headers: dict[str, Any] = {
            name: template_functions.Plain(each.header) for name, each in self.columns.items()
        }
        headers["Label"] = str
        cells = [line.split("\t") for line in [made.render(headers), *lines]]
        sys.stdout.write(output.table(cells))

    def _view(self, row: Row) -> dict[str, Any]:
        return {name: column.value(row) for name, column in sorted(self.columns.items())}


def labelled(row: Row) -> str:
    """The labels of a row as ``key=value,…``."""
    labels = row.get("Labels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items())


def label_of(row: Row) -> Callable[[str], str]:
    """A function of a label's name, for templates."""
    return lambda key: str((row.get("Labels") or {}).get(key, ""))


def filters(given: Sequence[tuple[str, str]]) -> dict[str, dict[str, bool]] | None:
    """The options -f as the API wants them."""
    made: dict[str, dict[str, bool]] = {}
    for key, value in given:
        made.setdefault(key, {})[value] = True
    return made or None


def filter_pair(text: str) -> tuple[str, str]:
    """One -f option: ``name=value``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return key.strip().lower(), value.strip()
