"""Routes of a container's streams: attach, logs, stats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

from fairlead.api.answers import JSON, answer, line, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.frames import content_type
from fairlead.api.router import Route
from fairlead.api.streams import framed, join
from fairlead.api.times import moment
from fairlead.model.errors import Invalid, NotFound

Json = dict[str, Any]
STATS_SECONDS = 1.0


async def attach(call: Call) -> Reply:
    """A client's terminal becomes the container's."""
    query = call.query
    container = call.engine.containers.find(call["id"])
    session = call.engine.containers.attach(
        call["id"],
        logs=query.flag("logs"),
        stream=query.flag("stream"),
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        detach_keys=query.text("detachKeys"),
    )
    try:
        kind = content_type(call.version, container.terminal)
        connection = await call.request.hijack({"Content-Type": kind})
    except BaseException:
        await session.close()
        raise
    await join(connection, session, stdin=query.flag("stdin"))
    return None


def _time(call: Call, key: str) -> datetime | None:
    text = call.query.text(key)
    if not text or text == "0":
        return None
    now = datetime.now(UTC)
    return datetime.fromtimestamp(moment(text, int(now.timestamp() * 1e9)) / 1e9, UTC)


def _tail(call: Call) -> int | None:
    text = call.query.text("tail", "all")
    return int(text) if text.isdecimal() else None


async def logs(call: Call) -> Reply:
    """What a container has said, and with `follow` what it says."""
    query = call.query
    container = call.engine.containers.find(call["id"])
    if not (query.flag("stdout") or query.flag("stderr")):
        raise Invalid(
            "Bad parameters: you must choose at least one stream",
            hint="add stdout=1, stderr=1 or both",
        )
    lines = call.engine.containers.logs(
        call["id"],
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        since=_time(call, "since"),
        until=_time(call, "until"),
        timestamps=query.flag("timestamps"),
        tail=_tail(call),
        follow=query.flag("follow"),
    )
    kind = content_type(call.version, container.terminal)
    return stream(framed(lines, terminal=container.terminal), {"Content-Type": kind})


def since_last(reading: Json, before: Json | None) -> Json:
    """A reading together with the one before it, from which clients work out a rate."""
    earlier = before or {}
    return {
        **reading,
        "precpu_stats": earlier.get("cpu_stats", {"cpu_usage": {"total_usage": 0}}),
        "preread": earlier.get("read", "0001-01-01T00:00:00Z"),
    }


async def _readings(call: Call, first: Json) -> AsyncIterator[bytes]:
    yield line(since_last(first, None))
    before = first
    while True:
        await asyncio.sleep(STATS_SECONDS)
        try:
            reading = await call.engine.containers.stats(call["id"])
        except NotFound:
            # The container was removed, and with it ends what there is to tell.
            return
        yield line(since_last(reading, before))
        before = reading


async def stats(call: Call) -> Reply:
    """What a container uses: once a second, or once."""
    first = await call.engine.containers.stats(call["id"])
    if call.query.flag("stream", default=True):
        return stream(_readings(call, first), JSON)
    if call.query.flag("one-shot"):
        return answer(since_last(first, None))
    await asyncio.sleep(STATS_SECONDS)
    second = await call.engine.containers.stats(call["id"])
    return answer(since_last(second, first))


def routes() -> Iterator[Route[Serve]]:
    """The table of a container's streams."""
    yield Route("POST", "/containers/{id}/attach", attach)
    yield Route("GET", "/containers/{id}/logs", logs)
    yield Route("GET", "/containers/{id}/stats", stats)
