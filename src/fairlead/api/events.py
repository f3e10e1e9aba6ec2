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

OLD_KEYS = ("status", "id", "from")
"""What events had before they had an actor; told until API 1.52."""

FRAMES = {"application/json-seq": b"\x1e", "application/x-ndjson": b"", "application/jsonl": b""}
"""What comes before an event, by content type."""

if TYPE_CHECKING:
    from fairlead.engine.events import Event


def _time(call: Call, key: str, now: int) -> float | None:
    text = call.query.text(key)
    return moment(text, now) / 1e9 if text else None


async def _lines(
    happening: AsyncIterator[Event], dated: bool, start: bytes
) -> AsyncIterator[bytes]:
    try:
        async for event in happening:
            found = event.document()
            if not dated:
                found = {key: value for key, value in found.items() if key not in OLD_KEYS}
            yield start + line(found)
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
    kind, start = _framing(call)
    lines = _lines(happening, not call.since(1, 52), start)
    return stream(lines, {"Content-Type": kind})


def _framing(call: Call) -> tuple[str, bytes]:
    """How events are told apart: by lines, or as RFC 7464 has it for whoever asks."""
    accepted = call.request.headers.get("accept", "") if call.since(1, 52) else ""
    found = next((kind for kind in FRAMES if kind in accepted), JSON["Content-Type"])
    return found, FRAMES.get(found, b"")


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/events", events)
