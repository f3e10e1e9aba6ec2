"""Routes of images: what is here, and what to call it. Bytes come and go in transfer.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fairlead.api.answers import answer, nothing
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.filters import Filters, parse
from fairlead.api.router import Route
from fairlead.model.errors import Invalid
from fairlead.runtime.stored import EMPTY_CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.runtime.image import Image, Removed

Json = dict[str, Any]


def seconds(created: str) -> int:
    """The time in an image's config as seconds since the epoch; 0 when it has none."""
    if not created:
        return 0
    try:
        moment = datetime.fromisoformat(created[:19])
    except ValueError:
        # An image can say anything here; that must not hide it from the list.
        return 0
    return int(moment.replace(tzinfo=UTC).timestamp())


def image_json(image: Image, version_size: bool, containers: int = -1) -> Json:
    """An image in a list. Old clients know its size by another name, too."""
    old = {"VirtualSize": image.size_bytes} if version_size else {}
    return {
        "Containers": containers,
        "Created": seconds(image.created),
        "Id": image.id,
        "Labels": image.config.get("Labels"),
        "ParentId": image.parent,
        "RepoDigests": list(image.digests),
        "RepoTags": list(image.tags),
        "SharedSize": -1,
        "Size": image.size_bytes,
        **old,
    }


def removed_json(removed: Iterable[Removed]) -> list[Json]:
    """What a removal took away, name by name and image by image."""
    found: list[Json] = []
    for each in removed:
        if each.untagged:
            found.append({"Untagged": each.untagged})
        if each.deleted:
            found.append({"Deleted": each.deleted})
    return found


def tell(call: Call, action: str, image_id: str, name: str) -> None:
    """An event about an image."""
    call.engine.events.emit("image", action, image_id, {"name": name})


def _tell_removed(call: Call, removed: Iterable[Removed]) -> None:
    for each in removed:
        if each.untagged:
            tell(call, "untag", each.untagged, each.untagged)
        if each.deleted:
            tell(call, "delete", each.deleted, each.deleted)


async def list_images(call: Call) -> Reply:
    """All images, or those that fit the filters."""
    filters = dict(parse(call.query.text("filters")).by_key)
    if call.query.text("filter"):
        filters["reference"] = (call.query.text("filter"),)
    found = call.engine.images.list(filters)
    return answer([image_json(i, not call.since(1, 44)) for i in found])


async def inspect(call: Call) -> Reply:
    """One image. Old clients are told of the container that a build made it from: of none."""
    found = call.engine.images.inspect(call["name"])
    # Compose 1 speaks whatever version is newest, and fails without what went with 1.45.
    compose1 = call.request.headers.get("user-agent", "").startswith("docker-compose/1")
    if compose1 or not call.since(1, 45):
        found |= {"Container": "", "ContainerConfig": EMPTY_CONFIG}
    if not call.since(1, 44):
        found["VirtualSize"] = found["Size"]
    return answer(found)


async def history(call: Call) -> Reply:
    """How an image was made, layer by layer."""
    return answer(call.engine.images.history(call["name"]))


async def tag(call: Call) -> Reply:
    """One more name for an image."""
    repository, name = call.query.text("repo"), call.query.text("tag")
    if not repository:
        raise Invalid("repository name must have at least one component")
    target = f"{repository}:{name}" if name else repository
    await call.engine.images.tag(call["name"], target)
    tell(call, "tag", call.engine.images.get(target).id, target)
    return nothing(201)


async def remove(call: Call) -> Reply:
    """A name less, and with the last one the image."""
    removed = await call.engine.images.remove(
        call["name"],
        force=call.query.flag("force"),
        prune=not call.query.flag("noprune"),
        used_by=call.engine.image_users,
    )
    _tell_removed(call, removed)
    return answer(removed_json(removed))


def dangling_only(filters: Filters) -> bool:
    """Whether a prune leaves images that have a name; it does unless told otherwise."""
    return filters.flag("dangling", default=True)


async def prune(call: Call) -> Reply:
    """Images that nobody uses go."""
    filters = call.query.filters(("dangling", "label", "label!", "until"))
    used = {c.record.image for c in call.engine.containers.all()}
    rest = {k: v for k, v in filters.by_key.items() if k != "dangling"}
    removed, freed = await call.engine.images.prune(
        dangling_only=dangling_only(filters), used=used, filters=rest
    )
    _tell_removed(call, removed)
    call.engine.events.emit("image", "prune", "", {"reclaimed": str(freed)})
    return answer({"ImagesDeleted": removed_json(removed) or None, "SpaceReclaimed": freed})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/images/json", list_images)
    yield Route("POST", "/images/prune", prune)
    yield Route("GET", "/images/{name}/json", inspect)
    yield Route("GET", "/images/{name}/history", history)
    yield Route("POST", "/images/{name}/tag", tag)
    yield Route("DELETE", "/images/{name}", remove)
