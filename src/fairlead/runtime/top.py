"""top: what the host's ps says about some processes."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from fairlead.model.errors import Failed, Invalid
from fairlead.runtime import process


async def top(pids: Collection[int], ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Run ps and keep its titles and the rows of the given processes."""
    try:
        words = shlex.split(ps_args or "-ef")
    except ValueError as error:
        raise Invalid(f"invalid ps_args: {error}") from error
    done = await process.run(["ps", *words])
    if done.code:
        raise Failed(f"ps: {done.complaint}")
    return rows(done.out.decode(errors="replace"), pids)


def rows(text: str, pids: Collection[int]) -> tuple[list[str], list[list[str]]]:
    """Split ps's table and filter it by its PID column; pure."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Failed("Couldn't find PID field in ps output")
    column = titles.index("PID")
    kept = []
    for line in lines[1:]:
        # Only the last column, the command, has spaces in it.
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdecimal() and int(fields[column]) in pids:
            kept.append(fields)
    return titles, kept
