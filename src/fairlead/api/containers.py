"""Routes of containers: their life from create to prune."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from fairlead.api.answers import JSON, TAR, answer, line, nothing, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.container_json import inspect_json, list_json
from fairlead.api.filters import parse
from fairlead.api.looking import network_ids, view
from fairlead.api.router import Route
from fairlead.api.times import SECOND, moment
from fairlead.api.versions import WIDE_MAC, Version, named
from fairlead.model.errors import Invalid

Json = dict[str, Any]


async def create(call: Call) -> Reply:
    """A new container, not yet running."""
    body = await call.body(Json)
    created = await call.engine.containers.create(call.query.text("name"), body, _meant(call, body))
    return answer({"Id": created.id, "Warnings": list(created.warnings)}, 201)


def _meant(call: Call, body: Json) -> Version:
    """The version in which a body was written.

    Since 1.52 a container has no MAC address of its own. Who sends one and names no version
    means that of a daemon that had it, and would not be told that it is left out.
    """
    if body.get("MacAddress") and not named(call.request.path):
        return min(call.version, WIDE_MAC)
    return call.version


async def list_containers(call: Call) -> Reply:
    """Containers, newest first; the running ones unless more is asked for."""
    query = call.query
    found = call.engine.containers.list(
        all=query.flag("all"),
        limit=max(query.integer("limit"), 0),
        filters=parse(query.text("filters")).by_key,
    )
    ids, now = network_ids(call), datetime.now(UTC)
    views = []
    for container in found:
        size = await call.engine.containers.size(container.id) if query.flag("size") else None
        views.append(list_json(view(call, container, size), ids, call.version, now))
    return answer(views)


async def inspect(call: Call) -> Reply:
    """Everything about one container."""
    container = call.engine.containers.find(call["id"])
    wanted = call.query.flag("size")
    size = await call.engine.containers.size(container.id) if wanted else None
    return answer(inspect_json(view(call, container, size), network_ids(call), call.version))


async def start(call: Call) -> Reply:
    """A container runs."""
    await call.engine.containers.start(call["id"])
    return nothing()


def _timeout(call: Call) -> int | None:
    return call.query.integer("t") if call.query.get("t") else None


async def stop(call: Call) -> Reply:
    """A container is asked to end, then made to."""
    await call.engine.containers.stop(call["id"], _timeout(call), call.query.text("signal"))
    return nothing()


async def restart(call: Call) -> Reply:
    """Stop and start in one."""
    await call.engine.containers.restart(call["id"], _timeout(call), call.query.text("signal"))
    return nothing()


async def kill(call: Call) -> Reply:
    """A signal to a container."""
    await call.engine.containers.kill(call["id"], call.query.text("signal"))
    return nothing()


async def pause(call: Call) -> Reply:
    """A container stands still."""
    await call.engine.containers.pause(call["id"])
    return nothing()


async def unpause(call: Call) -> Reply:
    """A container goes on."""
    await call.engine.containers.unpause(call["id"])
    return nothing()


async def wait(call: Call) -> Reply:
    """How a container ended, once it has.

    The head of the answer goes out at once: a client that waits for a
    container it has yet to start is then sure not to miss its end.
    """
    ending = call.engine.containers.wait(call["id"], call.query.text("condition", "not-running"))

    async def ended() -> AsyncIterator[bytes]:
        exited = await ending
        error = {"Error": {"Message": exited.error}} if exited.error else {}
        yield line({"StatusCode": exited.code, **error})

    return stream(ended(), JSON)


async def remove(call: Call) -> Reply:
    """The end of a container."""
    query = call.query
    await call.engine.containers.remove(
        call["id"], force=query.flag("force"), volumes=query.flag("v"), link=query.flag("link")
    )
    return nothing()


async def rename(call: Call) -> Reply:
    """Another name."""
    await call.engine.containers.rename(call["id"], call.query.text("name"))
    return nothing()


async def update(call: Call) -> Reply:
    """Other limits, without a restart."""
    warnings = await call.engine.containers.update(call["id"], await call.body(Json))
    return answer({"Warnings": list(warnings)})


async def resize(call: Call) -> Reply:
    """The terminal has another size."""
    rows, columns = size(call)
    await call.engine.containers.resize(call["id"], rows, columns)
    return nothing(200)


def size(call: Call) -> tuple[int, int]:
    """Rows and columns of a resize. Raises Invalid."""
    rows, columns = call.query.integer("h"), call.query.integer("w")
    if not (0 <= rows <= 65535 and 0 <= columns <= 65535):
        raise Invalid("invalid resize: height and width are between 0 and 65535")
    return rows, columns


async def top(call: Call) -> Reply:
    """The processes of a container."""
    titles, rows = await call.engine.containers.top(call["id"], call.query.text("ps_args", "-ef"))
    return answer({"Titles": titles, "Processes": rows})


async def changes(call: Call) -> Reply:
    """What a container wrote."""
    found = await call.engine.containers.changes(call["id"])
    return answer([{"Path": path, "Kind": kind} for path, kind in found] or None)


async def export(call: Call) -> Reply:
    """The root of a container as a tar archive."""
    _, chunks = await call.engine.containers.get_archive(call["id"], "/.")
    return stream(chunks, TAR)


async def prune(call: Call) -> Reply:
    """Containers that do not run go."""
    filters = call.query.filters(("label", "label!", "until"))
    limits = [moment(text, time.time_ns()) for text in filters.get("until")]
    until = datetime.fromtimestamp(min(limits) / SECOND, UTC) if limits else None
    gone, freed = await call.engine.containers.prune(filters.by_key, until)
    return answer({"ContainersDeleted": list(gone) or None, "SpaceReclaimed": freed})


def _verbs() -> Iterator[tuple[str, Callable[[Call], Awaitable[Reply]]]]:
    for verb in (start, stop, restart, kill, pause, unpause, wait, rename, update, resize):
        yield verb.__name__, verb


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun; streams and archives have their own."""
    yield Route("GET", "/containers/json", list_containers)
    yield Route("POST", "/containers/create", create)
    yield Route("POST", "/containers/prune", prune)
    yield Route("GET", "/containers/{id}/json", inspect)
    yield Route("GET", "/containers/{id}/top", top)
    yield Route("GET", "/containers/{id}/changes", changes)
    yield Route("GET", "/containers/{id}/export", export)
    yield Route("DELETE", "/containers/{id}", remove)
    for name, verb in _verbs():
        yield Route("POST", f"/containers/{{id}}/{name}", verb)
