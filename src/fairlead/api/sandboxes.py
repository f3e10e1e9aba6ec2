"""Routes of sandboxes that no container is in: /fairlead/sandboxes, an extension of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fairlead.api.answers import answer, nothing
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.network_json import endpoint_request
from fairlead.api.router import Route
from fairlead.api.times import rfc3339
from fairlead.library.boxes import BoxRequest
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.model.sandbox import Sandbox
from fairlead.plan.explain import plan_lines

Json = dict[str, Any]


class Create(msgspec.Struct):
    """Body of POST /fairlead/sandboxes. `Namespace` is a path or a name of `ip netns`."""

    Name: str | None = None
    Hostname: str | None = None
    Domainname: str | None = None
    Namespace: str | None = None
    Pid: int | None = None
    Dns: list[str] | None = None
    DnsSearch: list[str] | None = None
    DnsOptions: list[str] | None = None
    Networks: dict[str, Json | None] | None = None
    Ports: list[str] | None = None


class Join(msgspec.Struct):
    """Body of POST /fairlead/sandboxes/{id}/join and /leave."""

    Network: str | None = None
    EndpointConfig: Json | None = None


class Publish(msgspec.Struct):
    """Body of POST /fairlead/sandboxes/{id}/publish and /unpublish."""

    Ports: list[str] | None = None
    Sources: list[str] | None = None
    """Of publish: who may come, if not everybody."""


def ports_json(ports: Sequence[Port]) -> list[Json]:
    """Ports as lists of containers show them."""
    return [
        {
            "IP": str(port.host_ip),
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in ports
    ]


def _endpoint_json(call: Call, endpoint: Endpoint) -> Json:
    def text(version: int) -> Json:
        found = endpoint.ipv4 if version == 4 else endpoint.ipv6
        return {
            "Gateway": str(endpoint.gateway(version) or ""),
            "Address": str(found or ""),
        }

    return {
        "NetworkID": endpoint.network,
        "EndpointID": endpoint.id,
        "Interface": endpoint.inside,
        "MacAddress": endpoint.mac,
        "IPv4": text(4),
        "IPv6": text(6),
        "Aliases": list(endpoint.aliases),
        "DNSNames": list(call.controller.names(endpoint)),
    }


def sandbox_json(call: Call, box: Sandbox) -> Json:
    """A sandbox with all that is known of it."""
    world = call.controller.world
    etc = call.boxes.etc.path(box.id)
    return {
        "Id": box.id,
        "Name": box.name,
        "Created": rfc3339(box.created),
        "Hostname": box.hostname,
        "Domainname": box.domainname,
        "Adopted": box.source,
        "SandboxKey": str(call.controller.netns_path(box.id)),
        "HostsPath": str(etc / "hosts"),
        "ResolvConfPath": str(etc / "resolv.conf"),
        "Networks": {
            world.networks[e.network].name: _endpoint_json(call, e) for e in world.joined(box.id)
        },
        "Ports": ports_json(box.ports),
    }


async def list_sandboxes(call: Call) -> Reply:
    """All of them, oldest first."""
    return answer([sandbox_json(call, box) for box in call.boxes.all()])


async def inspect(call: Call) -> Reply:
    """One of them."""
    return answer(sandbox_json(call, call.boxes.find(call["id"])))


async def create(call: Call) -> Reply:
    """A new one, or an adopted one, on networks and ports if any are named."""
    given = await call.body(Create)
    name = given.Name or ""
    _check_free(call, name)
    if given.Pid is not None and given.Namespace:
        raise Invalid("name a namespace or a process, not both")
    if given.Namespace == "":
        raise Invalid("the namespace to adopt has no name")
    request = BoxRequest(
        name,
        given.Pid if given.Pid is not None else given.Namespace or "",
        given.Hostname or "",
        given.Domainname or "",
        given.Dns or (),
        given.DnsSearch or (),
        given.DnsOptions or (),
    )
    joins = [(ref, endpoint_request(asked)) for ref, asked in (given.Networks or {}).items()]
    box = await call.boxes.open(request, joins, given.Ports or ())
    return answer({"Id": box.id}, 201)


def _check_free(call: Call, name: str) -> None:
    """Containers and sandboxes share names: both are called by them on networks."""
    try:
        found = call.engine.containers.find(name) if name else None
    except (NotFound, Invalid):
        return
    if found is not None and found.name == name:
        raise Conflict(f"container {found.id[:12]} is called {name}", hint="choose another name")


async def remove(call: Call) -> Reply:
    """The end of one; an adopted namespace stays as it was."""
    await call.boxes.remove(call["id"])
    return nothing()


async def join(call: Call) -> Reply:
    """One more network."""
    given = await call.body(Join)
    box = call.boxes.find(call["id"])
    return await joined(call, box.id, given.Network or "", given.EndpointConfig)


async def joined(call: Call, box: str, network: str, settings: Json | None) -> Reply:
    """A sandbox on a network, or the plan of that."""
    request = endpoint_request(settings)
    if call.query.flag("dry_run"):
        steps = await call.controller.plan_join(box, network, request)
        return answer({"Plan": plan_lines(steps)})
    await call.boxes.join(box, network, request)
    return nothing(200)


def meant(call: Call, ref: str) -> str:
    """The id of the sandbox that a reference to a container means; empty if it means none."""
    try:
        call.engine.containers.find(ref)
    except NotFound:
        return next((box.id for box in call.boxes.all() if ref in (box.name, box.id)), "")
    except Invalid:
        return ""
    return ""


async def leave(call: Call) -> Reply:
    """One network less."""
    given = await call.body(Join)
    await call.boxes.leave(call["id"], given.Network or "")
    return nothing(200)


async def publish(call: Call) -> Reply:
    """More ports; all that there are then."""
    given = await call.body(Publish)
    found = await call.boxes.publish(call["id"], given.Ports or (), given.Sources or ())
    return answer({"Ports": ports_json(found)})


async def unpublish(call: Call) -> Reply:
    """Fewer ports; all that there are still."""
    given = await call.body(Publish)
    return answer({"Ports": ports_json(await call.boxes.unpublish(call["id"], given.Ports or ()))})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/fairlead/sandboxes", list_sandboxes)
    yield Route("POST", "/fairlead/sandboxes", create)
    yield Route("GET", "/fairlead/sandboxes/{id}", inspect)
    yield Route("DELETE", "/fairlead/sandboxes/{id}", remove)
    yield Route("POST", "/fairlead/sandboxes/{id}/join", join)
    yield Route("POST", "/fairlead/sandboxes/{id}/leave", leave)
    yield Route("POST", "/fairlead/sandboxes/{id}/publish", publish)
    yield Route("POST", "/fairlead/sandboxes/{id}/unpublish", unpublish)
