"""What the dataplane has done since it began: counted here, asked for with `stats`.

Rule: counting costs an addition. Whoever serves something adds to the one
`COUNTS`; every field is reported by its name and becomes a label of the metric
`fairlead_dns_queries_total`, so that a new one needs no more than a line here
and a line where it happens.

A question is counted once when it comes in (`ready`, `local`, `forwarded`,
`refused` or `malformed`), and once more if it comes to nothing (`failed`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counts:
    """Questions by what became of them."""

    ready: int = 0
    """Answered from the table of replies that are ready."""
    local: int = 0
    """Answered from names that we know, the first time."""
    cached: int = 0
    """Answered from what upstreams said before."""
    forwarded: int = 0
    """Put to upstreams."""
    failed: int = 0
    """Forwarded, and no upstream answered in time: SERVFAIL."""
    refused: int = 0
    """Not forwarded, because too many are out already: REFUSED."""
    malformed: int = 0
    """No question at all."""


COUNTS = Counts()


def report(resolvers: int, proxies: int) -> dict[str, object]:
    """The answer to `stats`."""
    return {"queries": asdict(COUNTS), "resolvers": resolvers, "proxies": proxies}
