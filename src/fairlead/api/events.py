"""Routes of events: what happens, as it happens, one JSON object a line."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from fairlead.api.answers import JSON, line, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.filters import parse
from fairlead.api.router import Route
from fairlead.api.times import moment
from fairlead.model.errors import Invalid

if TYPE_CHECKING:
    from fairlead.engine.events import Event


def _time(call: Call, key: str, now: int) -> float | None:
    text = call.query.text(key)
    return moment(text, now) / 1e9 if text else None


async def _lines(happening: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    try:
        async for event in happening:
            yield line(event.document())
    finally:
        aclose = getattr(happening, "aclose", None)
        if aclose is not None:
            await aclose()


async def events(call: Call) -> Reply:
    """What has happened since a time and until a time, or for ever."""
    now = time.time_ns()
    since, until = _time(call, "since", now), _time(call, "until", now)
    if since is not None and until is not None and since > until:
        raise Invalid(
            f"`since` time ({call.query['since']}) cannot be after "
            f"`until` time ({call.query['until']})"
        )
    filters = parse(call.query.text("filters")).by_key
    happening = call.engine.events.subscribe(since=since, until=until, filters=filters)
    return stream(_lines(happening), JSON)


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/events", events)
