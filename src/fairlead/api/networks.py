"""Routes of networks: /networks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fairlead.api.answers import answer, nothing
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.filters import Filters
from fairlead.api.network_json import (
    Connect,
    Disconnect,
    Json,
    NetworkCreate,
    container_reference,
    endpoint_request,
    endpoint_settings,
    inspected,
    listed,
    network_request,
)
from fairlead.api.router import Route
from fairlead.api.sandboxes import joined, meant
from fairlead.api.times import moment
from fairlead.model.errors import Failed, FairleadError, NotFound
from fairlead.model.network import Network
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.plan.explain import plan_lines

LIST_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")


def _plan(steps: Sequence[Step]) -> Reply:
    return answer({"Plan": plan_lines(steps)})


def _of_type(filters: Filters, network: Network) -> bool:
    for kind in filters.get("type"):
        if kind not in ("custom", "builtin"):
            raise Failed(f"invalid filter: 'type'='{kind}'", hint="use custom or builtin")
    return filters.exact("type", "custom" if network.user_defined else "builtin")


def _dangling(filters: Filters, network: Network, world: World) -> bool:
    if "dangling" not in filters:
        return True
    unused = network.user_defined and not world.users(network.id)
    return unused is filters.flag("dangling", default=True)


def chosen(world: World, filters: Filters) -> list[Network]:
    """The networks that fit the filters of a list."""
    return [
        n
        for n in world.networks.values()
        if filters.exact("driver", n.driver)
        and filters.pattern("name", n.name)
        and filters.pattern("id", n.id)
        and filters.label(n.labels)
        and filters.exact("scope", str(n.scope))
        and _of_type(filters, n)
        and _dangling(filters, n, world)
    ]


def unused(world: World, filters: Filters, now: int) -> list[Network]:
    """The networks that a prune takes: ours to remove, nobody on them, as filtered."""
    before = [moment(text, now) for text in filters.get("until")]
    return [
        n
        for n in world.networks.values()
        if n.user_defined
        and not world.users(n.id)
        and all(n.created < limit for limit in before)
        and filters.label(n.labels)
        and filters.without_label(n.labels)
    ]


async def list_networks(call: Call) -> Reply:
    """All networks, or those that fit the filters."""
    filters = call.query.filters(LIST_FILTERS)
    world = call.controller.world
    return answer(listed(world, chosen(world, filters), call.version))


async def inspect(call: Call) -> Reply:
    """One network and who is on it."""
    network = call.controller.network(call["id"])
    scope = call.query.text("scope")
    if scope and scope != str(network.scope):
        raise NotFound(f"network {call['id']} not found", hint=f"its scope is {network.scope}")
    return answer(inspected(call.controller.world, network, call.version))


async def create(call: Call) -> Reply:
    """A new network."""
    request = network_request(await call.body(NetworkCreate), call.version)
    if call.query.flag("dry_run"):
        return _plan(await call.controller.plan_create_network(request))
    network = await call.controller.create_network(request)
    return answer({"Id": network.id, "Warning": ""}, 201)


async def delete(call: Call) -> Reply:
    """The end of a network."""
    if call.query.flag("dry_run"):
        return _plan(await call.controller.plan_remove_network(call["id"]))
    await call.controller.remove_network(call["id"])
    return nothing()


async def connect(call: Call) -> Reply:
    """A container joins a network, at once if it runs; or a sandbox without one."""
    given = await call.body(Connect)
    container = container_reference(given.Container)
    settings = endpoint_settings(given.EndpointConfig, call.version)
    if box := meant(call, container):
        return await joined(call, box, call["id"], settings)
    if call.query.flag("dry_run"):
        return _plan(await _plan_connect(call, container, settings))
    await call.engine.containers.connect(call["id"], container, settings)
    return nothing(200)


async def _plan_connect(call: Call, ref: str, settings: Json | None) -> tuple[Step, ...]:
    """What connecting would do. To a container that does not run: nothing until it does."""
    container = call.engine.containers.find(ref)
    network = call.controller.network(call["id"])
    if not container.running or not container.sandbox:
        return ()
    request = endpoint_request(settings)
    return await call.controller.plan_join(container.sandbox, network.id, request)


async def disconnect(call: Call) -> Reply:
    """A container leaves a network, or a sandbox without one."""
    given = await call.body(Disconnect)
    container = container_reference(given.Container)
    if box := meant(call, container):
        await call.boxes.leave(box, call["id"])
        return nothing(200)
    await call.engine.containers.disconnect(call["id"], container, force=bool(given.Force))
    return nothing(200)


async def prune(call: Call) -> Reply:
    """Networks that nobody uses go."""
    filters = call.query.filters(PRUNE_FILTERS)
    gone = []
    for network in unused(call.controller.world, filters, time.time_ns()):
        try:
            await call.controller.remove_network(network.id)
        except FairleadError:
            # Somebody joined or removed it meanwhile: it is not unused any more.
            continue
        gone.append(network.name)
    call.engine.events.emit("network", "prune", "", {"reclaimed": "0"})
    return answer({"NetworksDeleted": gone or None})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/networks", list_networks)
    yield Route("POST", "/networks/create", create)
    yield Route("POST", "/networks/prune", prune)
    yield Route("GET", "/networks/{id}", inspect)
    yield Route("DELETE", "/networks/{id}", delete)
    yield Route("POST", "/networks/{id}/connect", connect)
    yield Route("POST", "/networks/{id}/disconnect", disconnect)
