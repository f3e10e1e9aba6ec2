"""The Linux half of a config.json: namespaces, devices, sysctls, seccomp.

Pure, but for device nodes, which are looked up on the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.container import IPC_SYSCTLS, MASKED_PATHS, READONLY_PATHS, ContainerSpec
from fairlead.model.errors import Failed, Invalid
from fairlead.runtime.host import Host, Node, every_node, nodes
from fairlead.runtime.limits import resources
from fairlead.runtime.seccomp import oci_seccomp

_EVERYTHING = {"allow": True, "access": "rwm"}

# Nodes every container may use: null zero full random urandom tty, its own terminals.
_USUAL_RULES = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
)

# What an ordinary user of a container may do with its own network namespace.
_OWN_NETWORK = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}
_SYSCTL_NAME = re.compile(r"[a-z0-9_-]+([./][A-Za-z0-9_*-]+)+")


def linux(container: ContainerSpec, caps: Sequence[str], host: Host, cgroup: str) -> dict[str, Any]:
    """The ``linux`` object of a container's config.json."""
    usual = container.masked_paths is None and not container.privileged
    masked = MASKED_PATHS if usual else container.masked_paths or ()
    usual = container.readonly_paths is None and not container.privileged
    readonly = READONLY_PATHS if usual else container.readonly_paths or ()
    given, rules = _devices(container)
    made: dict[str, Any] = {
        "namespaces": list(_namespaces(container)),
        "cgroupsPath": cgroup,
        "resources": {**resources(container.limits, host), "devices": rules},
        "devices": given,
        "sysctl": _sysctls(container),
        "maskedPaths": list(masked),
        "readonlyPaths": list(readonly),
    }
    propagation = {mount.propagation.removeprefix("r") for mount in container.mounts}
    if wide := next((kind for kind in ("shared", "slave") if kind in propagation), ""):
        made["rootfsPropagation"] = wide
    profile = None if container.privileged else _profile(container.security_opt, host)
    if profile:
        made["seccomp"] = oci_seccomp(
            profile, capabilities=caps, machine=host.machine, kernel=host.kernel
        )
    return made


def cgroup_path(container: ContainerSpec, usual_parent: str) -> str:
    """Where the container's control groups are, from each hierarchy's root."""
    parent = container.cgroup_parent or usual_parent
    if ".." in parent.split("/"):
        raise Invalid(f"invalid CgroupParent: {parent}")
    return f"/{parent.strip('/')}/{container.id}"


def _namespaces(container: ContainerSpec) -> Iterator[dict[str, str]]:
    yield {"type": "mount"}
    if container.network_namespace is not None:
        yield {"type": "network", "path": str(container.network_namespace)}
    for kind, chosen in (("ipc", container.ipc), ("pid", container.pid), ("uts", container.uts)):
        if chosen.startswith("/"):
            yield {"type": kind, "path": chosen}
        elif chosen != "host":
            yield {"type": kind}
    if container.cgroup_namespace == "private":
        yield {"type": "cgroup"}


def _devices(container: ContainerSpec) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    if container.privileged:
        return [_device(node) for node in every_node()], [_EVERYTHING]
    given, rules = [], list(_USUAL_RULES)
    for device in container.devices:
        for node in nodes(device):
            given.append(_device(node))
            rules.append(
                {
                    "allow": True,
                    "type": node.kind,
                    "major": node.major,
                    "minor": node.minor,
                    "access": device.permissions or "rwm",
                }
            )
    return given, [*rules]


def _device(node: Node) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.kind,
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    }


def _sysctls(container: ContainerSpec) -> dict[str, str]:
    made = dict(_OWN_NETWORK) if container.network_namespace is not None else {}
    if container.domainname and container.uts == "":
        made["kernel.domainname"] = container.domainname
    for name, value in container.sysctls:
        # A separator smuggled into either would set something else (CVE-2022-0811).
        if not _SYSCTL_NAME.fullmatch(name) or ".." in name or set(value) & set("\n\r\0+"):
            raise Invalid(f"invalid sysctl '{name}={value}'")
        _allowed(name, container)
        made[name] = value
    return made


def _allowed(name: str, container: ContainerSpec) -> None:
    refused = "failed to create task for container: sysctl"
    dotted = name.replace("/", ".")
    if dotted.startswith("net."):
        if container.network_namespace is None:
            raise Failed(f'{refused} "{name}" not allowed in host network namespace: unknown')
    elif dotted in IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
        if container.ipc == "host":
            raise Failed(f'{refused} "{name}" not allowed in host ipc namespace: unknown')
    elif dotted != "kernel.domainname" or container.uts == "host":
        raise Failed(f'{refused} "{name}" is not in a separate kernel namespace: unknown')


def _profile(options: Iterable[str], host: Host) -> Mapping[str, Any] | None:
    for option in options:
        name, _, value = option.replace("seccomp:", "seccomp=", 1).partition("=")
        if name != "seccomp":
            continue
        if value == "unconfined":
            return None
        if value != "builtin":
            return _written(value)
    return host.seccomp


def _written(value: str) -> Mapping[str, Any]:
    try:
        text = value if value.startswith("{") else Path(value).read_text()
        profile: Mapping[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(f"Decoding seccomp profile failed: {error}") from error
    if "defaultAction" not in profile:
        raise Invalid("Decoding seccomp profile failed: no defaultAction")
    return profile
