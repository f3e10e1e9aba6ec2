"""Routes that follow packets: what becomes of one on this host, and why. Our extension."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from fairlead.api.answers import answer, line, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.router import Route
from fairlead.controller.tracer import Report
from fairlead.model.errors import Conflict, Invalid, NotFound

MOST_SECONDS = 600


class Trace(msgspec.Struct):
    """Body of POST /fairlead/trace. `To` is ``web:80``, ``:8080`` for this host, or ``:53/udp``."""

    From: str | None = None
    To: str | None = None
    Seconds: int | None = None
    """How long real packets are watched for; none: a probe is sent instead."""
    All: bool = False
    """Every rule that a packet meets, not only those that decide."""


def report_json(report: Report) -> dict[str, Any]:
    """A report; what only announces others has no verdict."""
    last = report.outcome
    return {
        "Lines": list(report.lines),
        "Verdict": str(last.answer) if last is not None else "",
        "Why": last.why if last is not None else "",
        "Todo": last.todo if last is not None else "",
    }


async def trace(call: Call) -> Reply:
    """What becomes of a packet; of those that are really sent as a stream."""
    given = await call.body(Trace)
    source, target = _known(call, given.From or ""), given.To or ""
    where, colon, port = target.rpartition(":")
    target = f"{_known(call, where)}{colon}{port}"
    tracer = call.controller.tracer
    if given.Seconds is None:
        return answer(report_json(await tracer.probe(source, target, given.All)))
    if not 0 < given.Seconds <= MOST_SECONDS:
        raise Invalid(f"packets are watched for 1 to {MOST_SECONDS} seconds")
    reports = tracer.watch(source, target, given.Seconds, given.All)
    # What is wrong with the question is an answer of its own, and no stream.
    first = await anext(reports)
    return stream(_lines(first, reports))


async def _lines(first: Report, reports: AsyncGenerator[Report, None]) -> AsyncIterator[bytes]:
    async with aclosing(reports):
        yield line(report_json(first))
        async for report in reports:
            yield line(report_json(report))


def _known(call: Call, ref: str) -> str:
    """Whose network a container is in, by any name of its; whatever else is said stays.

    Raises Conflict.
    """
    world = call.controller.world
    if any(ref in (box.name, box.container, box.id) for box in world.sandboxes.values()):
        return ref
    try:
        found = call.engine.containers.find(ref) if ref else None
    except (NotFound, Invalid):
        return ref
    if found is None:
        return ref
    if found.record.shares in world.sandboxes:
        return str(found.record.shares)
    if any(box.container == found.id for box in world.sandboxes.values()):
        return found.id
    raise Conflict(f"container {found.name} is on no network now", hint="start it")


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("POST", "/fairlead/trace", trace)
