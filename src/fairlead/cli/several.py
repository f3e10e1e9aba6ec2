"""Commands that do one thing to each of several names, and go on after a failure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fairlead.cli.report import reported
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Said = str | Exception | None

NOT_FOUND = 404
MOST_TOGETHER = 50


def each(
    refs: Sequence[str],
    act: Callable[[str], str | None],
    *,
    together: bool = False,
    forgive_missing: bool = False,
) -> int:
    """Act on each, printing what it answers in the order asked; 1 if any failed."""
    status = 0
    for said in _together(refs, act) if together and len(refs) > 1 else _in_turn(refs, act):
        if isinstance(said, Exception):
            failed = reported(said)
            if not (forgive_missing and isinstance(said, ApiError) and said.status == NOT_FOUND):
                status = failed
        elif said is not None:
            sys.stdout.write(said + "\n")
            sys.stdout.flush()
    return status


def _in_turn(refs: Iterable[str], act: Callable[[str], str | None]) -> Iterator[Said]:
    return (_tried(act, ref) for ref in refs)


def _together(refs: Iterable[str], act: Callable[[str], str | None]) -> Iterator[Said]:
    """All at once: ten containers that take ten seconds to stop should not take a hundred."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(MOST_TOGETHER) as pool:
        yield from pool.map(lambda ref: _tried(act, ref), refs)


def _tried(act: Callable[[str], str | None], ref: str) -> Said:
    """What acting on one said, or the daemon's refusal; the next one goes on."""
    try:
        return act(ref)
    except ApiError as error:
        return error
