"""Containers in Docker's spelling: inspect and list. Pure.

What a container asked for is in its record, what it has is in the endpoints
and ports that live now; both are put together here, by API version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.api.times import SECOND, human, rfc3339, to_nanoseconds
from fairlead.api.versions import Version

if TYPE_CHECKING:
    from fairlead.engine.documents import EndpointSettings
    from fairlead.engine.record import Health, MountPoint, Record
    from fairlead.model.endpoint import Endpoint, Port

Json = dict[str, Any]
Attachment = tuple[str, "EndpointSettings", "Endpoint | None"]
"""A network's name, how the container asked to be in it, and its place there while it runs."""

DEFAULT_BRIDGE = "bridge"
ONLY_NETWORKS = Version(1, 52)
"""Since then nothing is said of docker0 beside the networks."""

ENDPOINT_KEYS = (
    "IPAMConfig",
    "Links",
    "Aliases",
    "DriverOpts",
    "GwPriority",
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "MacAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "DNSNames",
)
"""The order since then."""

PREDEFINED = frozenset({"bridge", "default", "host", "none"})


@dataclass(frozen=True, slots=True)
class View:
    """Everything about a container that its pictures are made of."""

    record: Record
    status: str
    running: bool
    paused: bool
    sandbox: str = ""
    sandbox_key: str = ""
    exec_ids: tuple[str, ...] = ()
    attachments: Sequence[Attachment] = ()
    ports: Sequence[Port] = ()
    exposed: Sequence[str] = ()
    size: tuple[int, int] | None = None
    image_name: str = ""
    owner: Record | None = None
    """Whose files under /etc it has, if not its own."""
    dns_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By network name."""


def when(moment: datetime | None) -> str:
    """A time of a record as Docker writes it."""
    return rfc3339(to_nanoseconds(moment) if moment is not None else None)


def _asked(asked: Json) -> Json:
    """The part of an endpoint that was asked for, as documents have it."""
    return {
        "IPAMConfig": asked.get("IPAMConfig"),
        "Links": asked.get("Links"),
        "Aliases": asked.get("Aliases"),
        "MacAddress": asked.get("MacAddress") or "",
        "DriverOpts": asked.get("DriverOpts"),
        "GwPriority": asked.get("GwPriority") or 0,
    }


def _live(live: Endpoint | None) -> Json:
    """The part of an endpoint that exists only while the container runs."""
    ipv4 = live.ipv4 if live else None
    ipv6 = live.ipv6 if live else None
    gateways = live.gateways if live else ()
    # Some ways out have no gateway: they just leave by the interface.
    ways = {way.version: str(way) for way in reversed(gateways) if not way.is_unspecified}
    return {
        "EndpointID": live.id if live else "",
        "Gateway": ways.get(4, ""),
        "IPAddress": str(ipv4.ip) if ipv4 else "",
        "IPPrefixLen": ipv4.network.prefixlen if ipv4 else 0,
        "IPv6Gateway": ways.get(6, ""),
        "GlobalIPv6Address": str(ipv6.ip) if ipv6 else "",
        "GlobalIPv6PrefixLen": ipv6.network.prefixlen if ipv6 else 0,
    }


def endpoint_json(view: View, at: Attachment, network_id: str, version: Version) -> Json:
    """A container's place in a network."""
    name, settings, live = at
    found = _asked(msgspec.to_builtins(settings))
    if live is not None and live.cable:
        found["MacAddress"] = live.mac
    if version < Version(1, 48):
        del found["GwPriority"]
    if version < Version(1, 45) and name not in PREDEFINED:
        record = view.record
        also = [record.id[:12], record.config.hostname]
        found["Aliases"] = list(dict.fromkeys([*(found["Aliases"] or ()), *also]))
    # Which network a name means is decided when the container first starts.
    found["NetworkID"] = network_id if view.record.state.started_at is not None else ""
    found |= _live(live)
    if version >= Version(1, 44):
        found["DNSNames"] = list(view.dns_names.get(name, ())) or None
    if version < ONLY_NETWORKS:
        return found
    return {key: found[key] for key in ENDPOINT_KEYS}


def _port_order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol


def ports_json(exposed: Iterable[str], ports: Iterable[Port]) -> Json:
    """Published ports by container port; null stands for one that is only exposed."""
    found: Json = dict.fromkeys(exposed)
    for port in ports:
        key = f"{port.container_port}/{port.protocol}"
        binding = {"HostIp": str(port.host_ip), "HostPort": str(port.host_port or "")}
        found[key] = [*(found.get(key) or ()), binding]
    return {key: found[key] for key in sorted(found, key=_port_order)}


def _visible_ports(view: View) -> Json:
    cabled = any(live is not None and live.cable for _, _, live in view.attachments)
    return ports_json(view.exposed, view.ports) if cabled else {}


def network_settings(view: View, network_ids: dict[str, str], version: Version) -> Json:
    """The NetworkSettings of inspect; the keys beside Networks are those of docker0."""
    networks = {
        at[0]: endpoint_json(view, at, network_ids.get(at[0], ""), version)
        for at in sorted(view.attachments, key=lambda a: a[0])
    }
    if version >= ONLY_NETWORKS:
        return {
            "SandboxID": view.sandbox,
            "SandboxKey": view.sandbox_key,
            "Ports": _visible_ports(view),
            "Networks": networks,
        }
    docker0 = next((live for name, _, live in view.attachments if name == DEFAULT_BRIDGE), None)
    return {
        "Bridge": "",
        "SandboxID": view.sandbox,
        "SandboxKey": view.sandbox_key,
        "Ports": _visible_ports(view),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **_docker0(docker0),
        "Networks": networks,
    }


def _docker0(live: Endpoint | None) -> Json:
    found = _live(live)
    order = (
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
    )
    return {**{key: found[key] for key in order}, "MacAddress": live.mac if live else ""}


def mount_json(mount: MountPoint) -> Json:
    """A mount point."""
    found: Json = {
        "Type": str(mount.type),
        "Name": mount.name,
        "Source": str(mount.source),
        "Destination": mount.destination,
        "Driver": mount.driver,
        "Mode": mount.mode,
        "RW": mount.rw,
        "Propagation": mount.propagation,
    }
    return {k: v for k, v in found.items() if v != "" or k not in ("Name", "Driver")}


def state_json(view: View) -> Json:
    """The State of inspect."""
    state = view.record.state
    return {
        "Status": view.status,
        "Running": view.running,
        "Paused": view.paused,
        "Restarting": view.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": view.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": when(state.started_at),
        "FinishedAt": when(state.finished_at),
        **({"Health": health_json(state.health)} if state.health else {}),
    }


def health_json(health: Health) -> Json:
    """What the health checks found."""
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": when(probe.start),
                "End": when(probe.end),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            }
            for probe in health.log
        ],
    }


def _health_summary(record: Record) -> Json:
    """Its health in a list, where who has no checks has a word as well."""
    health = record.state.health
    return {
        "Status": health.status if health else "none",
        "FailingStreak": health.failing_streak if health else 0,
    }


def _config(record: Record, version: Version) -> Json:
    config: Json = msgspec.to_builtins(record.config)
    if version < Version(1, 44):
        asked = (settings.mac_address for settings in record.networks.values())
        config["MacAddress"] = config.get("MacAddress") or next(filter(None, asked), "")
    return config


def inspect_json(view: View, network_ids: dict[str, str], version: Version) -> Json:
    """A container as GET /containers/{id}/json answers."""
    record = view.record
    etc = view.owner or record
    found: Json = {
        "Id": record.id,
        "Created": when(record.created),
        "Path": record.path,
        "Args": list(record.args),
        "State": state_json(view),
        "Image": record.image,
        "ResolvConfPath": etc.resolv_conf_path,
        "HostnamePath": etc.hostname_path,
        "HostsPath": etc.hosts_path,
        "LogPath": str(record.log_path),
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": record.driver,
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(view.exec_ids) or None,
        "HostConfig": msgspec.to_builtins(record.host),
        "GraphDriver": {"Data": None, "Name": record.driver},
    }
    if view.size is not None:
        found["SizeRw"], found["SizeRootFs"] = view.size
    found["Mounts"] = [mount_json(m) for m in record.mounts]
    found["Config"] = _config(record, version)
    found["NetworkSettings"] = network_settings(view, network_ids, version)
    return found


def command(path: str, args: Sequence[str]) -> str:
    """A command in one line; arguments with spaces are quoted."""
    return " ".join([path, *(f"'{a}'" if " " in a else a for a in args)])


def status_text(view: View, now: datetime) -> str:
    """The STATUS of ``docker ps``."""
    state = view.record.state

    def ago(moment: datetime) -> str:
        return human((to_nanoseconds(now) - to_nanoseconds(moment)) / SECOND)

    if view.status == "restarting" and state.finished_at is not None:
        return f"Restarting ({state.exit_code}) {ago(state.finished_at)} ago"
    if view.running and state.started_at is not None:
        return f"Up {ago(state.started_at)}{_condition(view)}"
    if view.status == "removing":
        return "Removal In Progress"
    if view.status == "dead":
        return "Dead"
    if state.started_at is None:
        return "Created"
    if state.finished_at is None:
        return ""
    return f"Exited ({state.exit_code}) {ago(state.finished_at)} ago"


def _condition(view: View) -> str:
    """What follows the time in the STATUS of one that runs."""
    health = view.record.state.health
    if view.paused:
        return " (Paused)"
    if health is None:
        return ""
    return " (health: starting)" if health.status == "starting" else f" ({health.status})"


def _listed_ports(view: View) -> list[Json]:
    found: list[Json] = []
    for key, bindings in _visible_ports(view).items():
        number, _, protocol = key.partition("/")
        private: Json = {"PrivatePort": int(number), "Type": protocol}
        # On a routed network a port is open at the container's own address, and at no port here.
        bound = [b for b in bindings or () if b["HostPort"]]
        if not bound:
            found.append(private)
        found += [
            {
                "IP": b["HostIp"],
                "PrivatePort": int(number),
                "PublicPort": int(b["HostPort"]),
                "Type": protocol,
            }
            for b in bound
        ]
    return found


def _listed_endpoint(endpoint: Json) -> Json:
    """An endpoint in a list: names are left to inspect."""
    return {k: None if k in ("Aliases", "DNSNames") else v for k, v in endpoint.items()}


def list_json(view: View, network_ids: dict[str, str], version: Version, now: datetime) -> Json:
    """A container as one entry of GET /containers/json."""
    record = view.record
    networks = network_settings(view, network_ids, version)["Networks"]
    found: Json = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": view.image_name or record.image_ref,
        "ImageID": record.image,
        "Command": command(record.path, record.args),
        "Created": to_nanoseconds(record.created) // SECOND,
        "Ports": _listed_ports(view),
    }
    if view.size is not None:
        found["SizeRw"], found["SizeRootFs"] = view.size
    return found | {
        "Labels": record.config.labels or {},
        "State": view.status,
        "Status": status_text(view, now),
        "HostConfig": {"NetworkMode": record.host.network_mode},
        **({"Health": _health_summary(record)} if version >= Version(1, 52) else {}),
        "NetworkSettings": {"Networks": {n: _listed_endpoint(e) for n, e in networks.items()}},
        "Mounts": [mount_json(m) for m in record.mounts],
    }
