"""Routes of the daemon itself: ping, version, info, disk usage, explain."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import fairlead
from fairlead.api.answers import answer, text
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.container_json import list_json
from fairlead.api.host_facts import go_architecture, host
from fairlead.api.images import image_json
from fairlead.api.info import info_json
from fairlead.api.looking import network_ids, view
from fairlead.api.router import Route
from fairlead.api.versions import NEWEST, OLDEST
from fairlead.api.volumes import volume_json
from fairlead.http.server import Response
from fairlead.model.errors import NotFound, Unavailable
from fairlead.picture.cluster import Hosts, cluster
from fairlead.picture.tree import tree

Json = dict[str, Any]

PING = {
    "Builder-Version": "",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}


async def ping(call: Call) -> Reply:
    """The daemon is there."""
    return text("OK", headers=PING)


async def ping_head(call: Call) -> Reply:
    """The daemon is there, in a head without a body."""
    return Response(200, b"", {"Content-Type": "text/plain; charset=utf-8", **PING})


def components(call: Call) -> list[Json]:
    """The programs that do the work, with their versions."""
    oci = call.engine.oci
    engine = {
        "ApiVersion": str(NEWEST),
        "Arch": go_architecture(platform.machine()),
        "Experimental": "false",
        "MinAPIVersion": str(OLDEST),
        "Os": "linux",
        "Python": platform.python_version(),
    }
    return [
        {"Name": "Engine", "Version": fairlead.__version__, "Details": engine},
        {"Name": oci.name, "Version": oci.version, "Details": {}},
        {"Name": "conmon", "Version": oci.conmon_version, "Details": {}},
    ]


async def version(call: Call) -> Reply:
    """Who answers here, and what it speaks."""
    machine = host()
    return answer(
        {
            "Platform": {"Name": "fairlead"},
            "Components": components(call),
            "Version": fairlead.__version__,
            "ApiVersion": str(NEWEST),
            "MinAPIVersion": str(OLDEST),
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": go_architecture(machine.architecture),
            "KernelVersion": machine.kernel,
            "BuildTime": "",
        }
    )


async def info(call: Call) -> Reply:
    """The daemon, what it runs and what it runs on."""
    return answer(info_json(call, host(), await call.controller.outside.names()))


async def _volumes_usage(call: Call) -> list[Json]:
    volumes = call.engine.volumes
    found = []
    for volume in volumes.list()[0]:
        users = len(volumes.users(volume.name))
        usage = {"Size": await volumes.size(volume.name), "RefCount": users}
        found.append(volume_json(volume) | {"UsageData": usage})
    return found


async def _containers_usage(call: Call) -> list[Json]:
    ids, now = network_ids(call), datetime.now(UTC)
    found = []
    for container in call.engine.containers.all():
        size = await call.engine.containers.size(container.id)
        found.append(list_json(view(call, container, size), ids, call.version, now))
    return found


async def disk_usage(call: Call) -> Reply:
    """What takes how much room."""
    wanted = call.query.every("type")
    images = call.engine.images
    found: Json = {"LayersSize": images.disk_usage()}
    if not wanted or "image" in wanted:
        old = not call.since(1, 44)
        found["Images"] = [
            image_json(i, old, len(call.engine.image_users(i.id))) for i in images.list()
        ]
    if not wanted or "container" in wanted:
        found["Containers"] = await _containers_usage(call)
    if not wanted or "volume" in wanted:
        found["Volumes"] = await _volumes_usage(call)
    if not wanted or "build-cache" in wanted:
        found["BuildCache"] = []
    if not call.since(1, 52):
        return answer(found)
    verbose = call.query.flag("verbose")
    return answer({**({} if verbose else found), **usage_json(found, verbose)})


def usage_json(found: Json, verbose: bool) -> Json:
    """Disk usage by kind, as it is told since API 1.52; with every thing when `verbose`."""
    rules: dict[str, tuple[str, Callable[[Json], int], Callable[[Json], bool]]] = {
        "Images": ("ImageUsage", lambda i: i["Size"], lambda i: i["Containers"] > 0),
        "Containers": (
            "ContainerUsage",
            lambda c: c["SizeRw"],
            lambda c: c["State"] in ("running", "paused", "restarting"),
        ),
        "Volumes": (
            "VolumeUsage",
            lambda v: v["UsageData"]["Size"],
            lambda v: v["UsageData"]["RefCount"] > 0,
        ),
        "BuildCache": ("BuildCacheUsage", lambda b: b["Size"], lambda b: b["InUse"]),
    }
    told: Json = {}
    for kind, (name, size, active) in rules.items():
        if kind not in found:
            continue
        items = found[kind]
        told[name] = {
            "ActiveCount": sum(active(i) for i in items),
            "TotalCount": len(items),
            "TotalSize": found["LayersSize"] if kind == "Images" else sum(map(size, items)),
            "Reclaimable": sum(size(i) for i in items if not active(i)),
            **({"Items": items} if verbose else {}),
        }
    return told


async def plugins(call: Call) -> Reply:
    """Managed plugins: there are none."""
    return answer([])


async def plugin(call: Call) -> Reply:
    """One managed plugin; a client that looks for anything by name looks here, too."""
    raise NotFound(f'plugin "{call["name"]}" not found')


async def explain(call: Call) -> Reply:
    """Each kernel object that stands for a network, container or sandbox. Our extension."""
    ref = call["ref"]
    named = [net.id for net in call.controller.world.networks.values() if net.name == ref]
    # A name says more than the start of some network's id.
    named += [box.id for box in call.boxes.all() if ref in (box.name, box.id)]
    named += [each.id for each in call.engine.containers.all() if ref in (each.name, each.id)]
    try:
        subject = named[0] if named else call.controller.network(ref).id
    except NotFound:
        access = any(b.access and b.name == ref for b in call.controller.world.sandboxes.values())
        subject = ref if access else call.engine.containers.find(ref).id
    return answer({"Lines": call.controller.explain(subject)})


async def picture(call: Call) -> Reply:
    """A text picture of every network and who is on it. Our extension."""
    return answer({"Lines": tree(call.controller.world)})


async def cluster_picture(call: Call) -> Reply:
    """A text picture of the cluster's hosts, and of its networks through them. Our extension."""
    if call.config.cluster is None:
        raise Unavailable(
            "this host is in no cluster", hint="start the daemon with --cluster-store"
        )
    told = call.config.cluster()
    alive = tuple(ip_address(host) for host in told.hosts)
    hosts = Hosts(told.store, told.address, alive, told.trouble)
    return answer({"Lines": cluster(call.controller.world, hosts)})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/_ping", ping)
    yield Route("HEAD", "/_ping", ping_head)
    yield Route("GET", "/version", version)
    yield Route("GET", "/info", info)
    yield Route("GET", "/system/df", disk_usage)
    yield Route("GET", "/plugins", plugins)
    yield Route("GET", "/plugins/{name}/json", plugin)
    yield Route("GET", "/fairlead/explain/{ref}", explain)
    yield Route("GET", "/fairlead/tree", picture)
    yield Route("GET", "/fairlead/cluster", cluster_picture)
