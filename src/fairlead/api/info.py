"""The document of GET /info."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import fairlead
from fairlead.api.host_facts import Host

if TYPE_CHECKING:
    from fairlead.api.call import Call
    from fairlead.model.world import World

Json = dict[str, Any]

SWARM = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}
BUILTIN = ("bridge", "host", "ipvlan", "macvlan", "null")
PLUGINS = {
    "Volume": ["local"],
    "Network": sorted(BUILTIN),
    "Authorization": None,
    "Log": ["json-file"],
}


def _counts(call: Call) -> Json:
    containers = call.engine.containers.all()
    states = Counter(c.status for c in containers)
    return {
        "Containers": len(containers),
        "ContainersRunning": states["running"],
        "ContainersPaused": states["paused"],
        "ContainersStopped": len(containers) - states["running"] - states["paused"],
        "Images": len(call.engine.images.list()),
    }


def warnings(host: Host) -> list[str]:
    """What on this machine will disappoint somebody."""
    found = []
    if not host.ipv4_forwarding:
        found.append("WARNING: IPv4 forwarding is disabled")
    return found


def _network(call: Call, host: Host) -> Json:
    pools = [{"Base": base, "Size": size} for base, size in call.config.address_pools]
    found: Json = {"IPv4Forwarding": host.ipv4_forwarding}
    if not call.since(1, 50):
        found["BridgeNfIptables"] = host.bridge_filter
        found["BridgeNfIp6tables"] = host.bridge_filter6
    if call.since(1, 49):
        found["FirewallBackend"] = {"Driver": call.config.firewall_backend}
    if pools:
        found["DefaultAddressPools"] = pools
    return found


def _machine(host: Host) -> Json:
    return {
        "KernelVersion": host.kernel,
        "OperatingSystem": host.system,
        "OSVersion": host.system_version,
        "OSType": "linux",
        "Architecture": host.architecture,
        "NCPU": host.cpus,
        "MemTotal": host.memory_bytes,
        "Name": host.name,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": host.cgroup_version,
    }


def _registries(call: Call) -> Json:
    return {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        for name in call.config.insecure_registries
    }


def _runtime(call: Call) -> Json:
    oci = call.engine.oci
    # Clients print this as the version of runc, whichever runtime it is.
    version = oci.version if oci.name == "runc" else f"{oci.name} {oci.version}"
    commits = {"ContainerdCommit": "", "RuncCommit": version, "InitCommit": ""}
    old = not call.since(1, 49)
    return {
        "Runtimes": {oci.name: {"path": oci.name}},
        "DefaultRuntime": oci.name,
        "InitBinary": "",
        **{key: {"ID": id_, **({"Expected": id_} if old else {})} for key, id_ in commits.items()},
    }


def _limits() -> Json:
    able = (
        "MemoryLimit",
        "SwapLimit",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "CPUShares",
        "CPUSet",
        "PidsLimit",
    )
    return {**dict.fromkeys(able, True), "OomKillDisable": False}


def drivers(world: World, found: Iterable[str]) -> list[str]:
    """The network drivers: ours, those of others that are there, and those of networks."""
    used = (net.driver for net in world.networks.values())
    return sorted({*BUILTIN, *found, *used})


def _cluster(call: Call) -> Json:
    """The cluster that this host is in, as Docker told it, and more."""
    if call.config.cluster is None:
        return {}
    told = call.config.cluster()
    return {
        "ClusterStore": told.store,
        "ClusterAdvertise": told.advertised,
        "FairleadCluster": {
            "Hears": told.hears,
            "Hosts": list(told.hosts),
            "Networks": told.networks,
            "Peers": told.peers,
            "Trouble": told.trouble,
        },
    }


def info_json(call: Call, host: Host, found: Iterable[str] = ()) -> Json:
    """Everything, in Docker's order as far as anyone could mind."""
    return {
        "ID": call.config.id,
        **_counts(call),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlayfs"]],
        "Plugins": {**PLUGINS, "Network": drivers(call.controller.world, found)},
        **_limits(),
        **_cluster(call),
        **_network(call, host),
        "Debug": call.config.debug,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "LoggingDriver": "json-file",
        **_machine(host),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"],
            "IndexConfigs": _registries(call),
            "Mirrors": None,
        },
        "GenericResources": None,
        "DockerRootDir": str(call.config.data_root),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": list(call.config.labels),
        "ExperimentalBuild": False,
        "ServerVersion": fairlead.__version__,
        **_runtime(call),
        "Swarm": SWARM,
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "ProductLicense": "",
        "CDISpecDirs": None,
        "Warnings": [*call.config.warnings, *call.controller.warnings, *warnings(host)] or None,
    }
