"""What fairlead does not do: one sentence each on what does it instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.api.router import Route
from fairlead.model.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.api.call import Call, Reply, Serve

BUILD = "fairlead builds no images: build with buildah or umoci, then docker load"
SWARM = "fairlead has no swarm mode: networks and containers are of this host"
PLUGINS = "fairlead manages no plugins: start them yourself, they are found by their socket"
PUSH = "fairlead pushes no images: docker save and then skopeo copy to the registry"
SEARCH = "fairlead searches no registries: ask the registry's own page or skopeo list-tags"
COMMIT = "fairlead makes no images of containers: docker export and then docker import"
WEBSOCKET = "fairlead attaches without websockets: POST /containers/{id}/attach with an upgrade"
CHECKPOINT = "fairlead makes no checkpoints"

_ALL = ("GET", "POST", "PUT", "DELETE")

TABLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (BUILD, ("POST",), ("/build", "/build/prune", "/build/cancel", "/session", "/grpc")),
    (SWARM, ("GET",), ("/swarm", "/swarm/unlockkey")),
    (SWARM, ("POST",), tuple(f"/swarm/{w}" for w in ("init", "join", "leave", "update", "unlock"))),
    *(
        (SWARM, _ALL, (f"/{noun}", f"/{noun}/{{id}}"))
        for noun in ("services", "nodes", "tasks", "secrets", "configs")
    ),
    (PLUGINS, ("GET", "POST", "DELETE"), ("/plugins/{name}",)),
    (PUSH, ("POST",), ("/images/{name}/push",)),
    (SEARCH, ("GET",), ("/images/search",)),
    (COMMIT, ("POST",), ("/commit",)),
    (WEBSOCKET, ("GET",), ("/containers/{id}/attach/ws",)),
    (CHECKPOINT, ("GET", "POST"), ("/containers/{id}/checkpoints",)),
    (CHECKPOINT, ("DELETE",), ("/containers/{id}/checkpoints/{name}",)),
)


def refuse(sentence: str) -> Serve:
    """A handler that says what to use instead."""

    async def refused(call: Call) -> Reply:
        raise Unsupported(sentence)

    return refused


def routes() -> Iterator[Route[Serve]]:
    """A refusal for each."""
    for sentence, methods, patterns in TABLE:
        for pattern in patterns:
            for method in methods:
                yield Route(method, pattern, refuse(sentence))
