"""Routes of volumes: /volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.api.answers import answer, nothing
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.container_json import when
from fairlead.api.filters import parse
from fairlead.api.router import Route

if TYPE_CHECKING:
    from fairlead.engine.volumes import Volume

Json = dict[str, Any]


class VolumeCreate(msgspec.Struct):
    """Body of POST /volumes/create."""

    Name: str | None = None
    Driver: str | None = None
    DriverOpts: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


def volume_json(volume: Volume) -> Json:
    """A volume."""
    return {
        "CreatedAt": when(volume.created),
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": str(volume.mountpoint),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": volume.scope,
    }


async def list_volumes(call: Call) -> Reply:
    """All volumes, or those that fit the filters."""
    found, warnings = call.engine.volumes.list(parse(call.query.text("filters")).by_key)
    volumes = [volume_json(v) for v in found]
    return answer({"Volumes": volumes, "Warnings": list(warnings) or None})


async def create(call: Call) -> Reply:
    """A volume; one that is there already is the answer too."""
    given = await call.body(VolumeCreate)
    volume = await call.engine.volumes.create(
        given.Name or "", given.Driver or "local", given.DriverOpts or {}, given.Labels or {}
    )
    return answer(volume_json(volume), 201)


async def inspect(call: Call) -> Reply:
    """One volume."""
    return answer(volume_json(call.engine.volumes.find(call["name"])))


async def remove(call: Call) -> Reply:
    """The end of a volume."""
    await call.engine.volumes.remove(call["name"], force=call.query.flag("force"))
    return nothing()


async def prune(call: Call) -> Reply:
    """Volumes that no container uses go; before API 1.42 the named ones too."""
    filters = dict(parse(call.query.text("filters")).by_key)
    if not call.since(1, 42):
        filters.setdefault("all", ("true",))
    gone, freed = await call.engine.volumes.prune(filters)
    return answer({"VolumesDeleted": list(gone) or None, "SpaceReclaimed": freed})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/volumes", list_volumes)
    yield Route("POST", "/volumes/create", create)
    yield Route("POST", "/volumes/prune", prune)
    yield Route("GET", "/volumes/{name}", inspect)
    yield Route("DELETE", "/volumes/{name}", remove)
