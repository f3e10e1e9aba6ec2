"""The commands on the pages are ones that fairlead takes: verbs, flags, how many arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click
import pytest

from fairlead.cli.command import Refused
from fairlead.cli.main import root

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
ENDS = {"|", "&", "&&", ";"}
LEFT_OUT = "…"
"""What a page leaves to its reader."""


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command line of fairlead's or docker's on a page, and the page."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for ends, group in groupby(words, key=ENDS.__contains__):
                    verb, *rest = group
                    if not ends and Path(verb).name in ("fairlead", "docker"):
                        yield page.name, tuple(word for word in rest if word != LEFT_OUT)


FOUND = sorted(set(commands()))


def parse(words: tuple[str, ...]) -> None:
    """Go the way of a command line as far as the command that would run. Raises Refused."""
    context = root().make_context("fairlead", list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    ("page", "words"), FOUND, ids=lambda v: v if isinstance(v, str) else " ".join(v)[:60]
)
def test_a_command_of_a_page(page: str, words: tuple[str, ...]) -> None:
    parse(words)


@pytest.mark.parametrize(
    "line",
    [
        "network made",
        "run --nosuch busybox",
        "network create",
        "daemon --cluster-shop=x",
        "cluster a",
    ],
)
def test_one_that_is_not_taken_is_found(line: str) -> None:
    """Else the test above would find nothing."""
    assert len(FOUND) > 40
    with pytest.raises((Refused, click.UsageError)):
        parse(tuple(line.split()))
