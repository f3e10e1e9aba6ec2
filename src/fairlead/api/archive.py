"""Routes of files in containers: /containers/{id}/archive, what ``docker cp`` uses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairlead.api.answers import TAR, line, nothing, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.router import Route
from fairlead.http.server import Response
from fairlead.model.errors import Invalid

if TYPE_CHECKING:
    from fairlead.runtime.rootfs import PathStat

STAT = "X-Docker-Container-Path-Stat"


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise Invalid("bad parameter: path cannot be empty")
    return path


def stat_header(stat: PathStat) -> dict[str, str]:
    """What a path is, as a header."""
    told = {
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": stat.mtime,
        "linkTarget": stat.link_target,
    }
    return {STAT: base64.b64encode(line(told).rstrip()).decode()}


async def head(call: Call) -> Reply:
    """What a path in a container is."""
    stat = await call.engine.containers.stat_path(call["id"], _path(call))
    return Response(200, b"", stat_header(stat))


async def get(call: Call) -> Reply:
    """A path in a container as a tar archive."""
    stat, chunks = await call.engine.containers.get_archive(call["id"], _path(call))
    return stream(chunks, {**TAR, **stat_header(stat)})


async def put(call: Call) -> Reply:
    """A tar archive, unpacked into a directory of a container."""
    await call.engine.containers.put_archive(
        call["id"],
        _path(call),
        call.request.chunks(),
        no_overwrite_dir_non_dir=call.query.flag("noOverwriteDirNonDir"),
        copy_owner=call.query.flag("copyUIDGID"),
    )
    return nothing(200)


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("HEAD", "/containers/{id}/archive", head)
    yield Route("GET", "/containers/{id}/archive", get)
    yield Route("PUT", "/containers/{id}/archive", put)
