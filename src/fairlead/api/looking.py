"""From a live container to the view that its pictures are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.api.container_json import PREDEFINED, View
from fairlead.model.errors import NotFound

if TYPE_CHECKING:
    from fairlead.api.call import Call
    from fairlead.engine.record import Container, Record


def network_ids(call: Call) -> dict[str, str]:
    """Ids of networks by name."""
    return {n.name: n.id for n in call.controller.world.networks.values()}


def image_name(call: Call, container: Container) -> str:
    """The image as the user named it, as long as that name still means it."""
    record = container.record
    try:
        same = call.engine.images.get(record.image_ref).id == record.image
    except NotFound:
        same = False
    return record.image_ref if same else record.image


def past_names(container: Container) -> tuple[str, ...]:
    """The names that a container had, and will have again, on a user-defined network."""
    record = container.record
    return (record.name, record.id[:12], record.config.hostname)


def dns_names(call: Call, container: Container) -> dict[str, tuple[str, ...]]:
    """What a container is called, by network name; nothing for one that never ran."""
    found: dict[str, tuple[str, ...]] = {}
    for name, asked, live in call.engine.containers.endpoints(container):
        if live is not None:
            found[name] = tuple(call.controller.names(live))
        elif container.record.state.started_at is not None and name not in PREDEFINED:
            own, short, hostname = past_names(container)
            names = (own, *(asked.aliases or ()), short, hostname)
            found[name] = tuple(dict.fromkeys(names))
    return found


def sandbox_key(call: Call, sandbox_id: str) -> str:
    """The path under which a container's namespace is pinned, if it has one of its own."""
    sandbox = call.controller.world.sandboxes.get(sandbox_id)
    if sandbox is None or sandbox.host:
        return ""
    return str(call.controller.netns_path(sandbox_id))


def _owner(call: Call, record: Record) -> Record | None:
    """The container whose network, and so whose files under /etc, this one shares."""
    seen = {record.id}
    found: Record | None = None
    while mode := (found or record).container_mode:
        try:
            next_record = call.engine.containers.find(mode).record
        except NotFound:
            break
        if next_record.id in seen:
            break
        seen.add(next_record.id)
        found = next_record
    return found


def view(call: Call, container: Container, size: tuple[int, int] | None = None) -> View:
    """A container with everything that is shown of it."""
    containers = call.engine.containers
    # One that others share stands on when its owner does not run.
    sandbox = container.sandbox if container.running else ""
    return View(
        record=container.record,
        status=container.status,
        running=container.running,
        paused=container.paused,
        sandbox=sandbox,
        sandbox_key=sandbox_key(call, sandbox),
        exec_ids=container.exec_ids,
        attachments=containers.endpoints(container),
        ports=containers.ports(container),
        exposed=containers.exposed(container),
        size=size,
        image_name=image_name(call, container),
        owner=_owner(call, container.record),
        dns_names=dns_names(call, container),
    )
