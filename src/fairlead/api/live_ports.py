"""Routes of ours that Docker does not have: ports of a container that lives.

====== ================================= ==========================================
POST   /fairlead/containers/{id}/ports   publish it on more ports
DELETE /fairlead/containers/{id}/ports   take ports back; null stands for all of one
====== ================================= ==========================================

Both take ``{"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}``,
as a create request has it, and answer with the ports that there are then. A binding may
name its ``Sources``, ``["192.0.2.0/24"]``: the networks from which it is reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.api.answers import answer
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.container_json import ports_json
from fairlead.api.router import Route

Json = dict[str, Any]


async def add(call: Call) -> Reply:
    """More ports."""
    await call.engine.containers.publish(call["id"], await call.body(Json))
    return _ports(call)


async def remove(call: Call) -> Reply:
    """Fewer ports."""
    await call.engine.containers.unpublish(call["id"], await call.body(Json))
    return _ports(call)


def _ports(call: Call) -> Reply:
    containers = call.engine.containers
    container = containers.find(call["id"])
    return answer({"Ports": ports_json(containers.exposed(container), containers.ports(container))})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("POST", "/fairlead/containers/{id}/ports", add)
    yield Route("DELETE", "/fairlead/containers/{id}/ports", remove)
