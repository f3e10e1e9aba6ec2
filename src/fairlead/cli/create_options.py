"""The options of `run` and `create`: one line each, with where its value goes in the request.

An option with `to` is copied there as it is; what needs more thought stands in
create_body. Options nobody uses on Linux are taken and ignored, so that a
command line written for Docker still runs.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from fairlead.cli import limits, values
from fairlead.cli.command import Option
from fairlead.cli.create_network import attachment
from fairlead.cli.mounts import mount

STREAMS = ("stdin", "stdout", "stderr")


def _one(*decls: str, to: str = "", **attrs: Any) -> Option:
    return Option(decls, to=to, **attrs)


def _many(*decls: str, to: str = "", **attrs: Any) -> Option:
    return Option(decls, to=to, multiple=True, **attrs)


def _switch(*decls: str, to: str = "", default: bool | None = False, **attrs: Any) -> Option:
    return Option(decls, to=to, switch=True, default=default, **attrs)


def stream(text: str) -> str:
    """A stream to attach to."""
    if text.lower() not in STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def address(text: str) -> str:
    """An IP address."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def extra_host(text: str) -> str:
    """A line for /etc/hosts: ``name:address`` or ``name=address``."""
    name, separator, where = text.partition("=" if "=" in text else ":")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    bare = where[1:-1] if where.startswith("[") and where.endswith("]") else where
    if bare != "host-gateway":
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            raise ValueError(f'invalid IP address in add-host: "{where}"') from None
    return f"{name}:{bare}"


def sysctl(text: str) -> tuple[str, str]:
    """A kernel parameter that belongs to a namespace."""
    key, _, value = text.partition("=")
    alone = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall")
    more = ("kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced")
    if key in (*alone, *more) or key.startswith(("net.", "fs.mqueue.")):
        return key, value
    raise ValueError(f"sysctl '{text}' is not allowed")


def capability(text: str) -> str:
    """A capability by its full name in capitals."""
    name = text.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


OPTIONS: tuple[Option, ...] = (
    _many("--add-host", to="HostConfig.ExtraHosts", parse=extra_host, help="Add a host-to-IP line"),
    _many("--annotation", to="HostConfig.Annotations", parse=values.pair, help="Add an annotation"),
    _many("-a", "--attach", parse=stream, help="Attach to STDIN, STDOUT or STDERR"),
    _one(
        "--blkio-weight", to="HostConfig.BlkioWeight", parse=values.unsigned, help="Block IO weight"
    ),
    _many("--blkio-weight-device", to="HostConfig.BlkioWeightDevice", parse=limits.device_weight),
    _many("--cap-add", to="HostConfig.CapAdd", parse=capability, help="Add Linux capabilities"),
    _many("--cap-drop", to="HostConfig.CapDrop", parse=capability, help="Drop Linux capabilities"),
    _one("--cgroup-parent", to="HostConfig.CgroupParent", help="Parent cgroup for the container"),
    _one("--cgroupns", to="HostConfig.CgroupnsMode", help="Cgroup namespace: host or private"),
    _one("--cidfile", to="HostConfig.ContainerIDFile", help="Write the container ID to the file"),
    _one("--cpu-period", to="HostConfig.CpuPeriod", parse=values.whole, help="CPU CFS period"),
    _one("--cpu-quota", to="HostConfig.CpuQuota", parse=values.whole, help="CPU CFS quota"),
    _one("--cpu-rt-period", to="HostConfig.CpuRealtimePeriod", parse=values.whole),
    _one("--cpu-rt-runtime", to="HostConfig.CpuRealtimeRuntime", parse=values.whole),
    _one("-c", "--cpu-shares", to="HostConfig.CpuShares", parse=values.whole, help="CPU shares"),
    _one("--cpus", to="HostConfig.NanoCpus", parse=values.nano_cpus, help="Number of CPUs"),
    _one("--cpuset-cpus", to="HostConfig.CpusetCpus", help="CPUs to run on (0-3, 0,1)"),
    _one("--cpuset-mems", to="HostConfig.CpusetMems", help="Memory nodes to use (0-3, 0,1)"),
    _many("--device", help="Add a host device to the container"),
    _many("--device-cgroup-rule", to="HostConfig.DeviceCgroupRules", parse=limits.cgroup_rule),
    _many("--device-read-bps", to="HostConfig.BlkioDeviceReadBps", parse=limits.bytes_rate),
    _many("--device-read-iops", to="HostConfig.BlkioDeviceReadIOps", parse=limits.operations_rate),
    _many("--device-write-bps", to="HostConfig.BlkioDeviceWriteBps", parse=limits.bytes_rate),
    _many(
        "--device-write-iops", to="HostConfig.BlkioDeviceWriteIOps", parse=limits.operations_rate
    ),
    _switch("--disable-content-trust", hidden=True),
    _many("--dns", to="HostConfig.Dns", parse=address, help="Set custom DNS servers"),
    _many("--dns-option", "--dns-opt", to="HostConfig.DnsOptions", help="Set DNS options"),
    _many("--dns-search", to="HostConfig.DnsSearch", help="Set custom DNS search domains"),
    _one("--domainname", to="Domainname", help="Container NIS domain name"),
    _one("--entrypoint", help="Overwrite the default ENTRYPOINT of the image"),
    _many("-e", "--env", parse=values.variable, help="Set environment variables"),
    _many("--env-file", help="Read in a file of environment variables"),
    _many("--expose", help="Expose a port or a range of ports"),
    _many("--gpus", to="HostConfig.DeviceRequests", parse=limits.gpus, help="GPU devices to add"),
    _many("--group-add", to="HostConfig.GroupAdd", help="Add additional groups to join"),
    _one("--health-cmd", help="Command to run to check health"),
    _one("--health-interval", parse=values.nanoseconds, help="Time between checks (ms|s|m|h)"),
    _one("--health-retries", parse=values.whole, help="Failures needed to report unhealthy"),
    _one("--health-start-interval", parse=values.nanoseconds, help="Time between first checks"),
    _one("--health-start-period", parse=values.nanoseconds, help="Time to start up in"),
    _one("--health-timeout", parse=values.nanoseconds, help="Time one check may take"),
    _one("-h", "--hostname", to="Hostname", help="Container host name"),
    _switch("--init", to="HostConfig.Init", default=None, help="Run an init inside the container"),
    _switch("-i", "--interactive", help="Keep STDIN open even if not attached"),
    _one("--ip", default="", help="IPv4 address (e.g., 172.30.100.104)"),
    _one("--ip6", default="", help="IPv6 address (e.g., 2001:db8::33)"),
    _one("--ipc", to="HostConfig.IpcMode", help="IPC mode to use"),
    _one("--isolation", to="HostConfig.Isolation", hidden=True),
    _one("--kernel-memory", parse=values.size_bytes, hidden=True),
    _many("-l", "--label", parse=values.label, help="Set meta data on a container"),
    _many("--label-file", help="Read in a line delimited file of labels"),
    _many("--link", to="HostConfig.Links", parse=values.link, help="Add link to another container"),
    _many("--link-local-ip", help="Container IPv4/IPv6 link-local addresses"),
    _one("--log-driver", to="HostConfig.LogConfig.Type", help="Logging driver for the container"),
    _many("--log-opt", to="HostConfig.LogConfig.Config", parse=values.pair, help="Log options"),
    _one("--mac-address", default="", help="Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    _one("-m", "--memory", to="HostConfig.Memory", parse=values.size_bytes, help="Memory limit"),
    _one("--memory-reservation", to="HostConfig.MemoryReservation", parse=values.size_bytes),
    _one(
        "--memory-swap", to="HostConfig.MemorySwap", parse=values.swap_bytes, help="Memory + swap"
    ),
    _one("--memory-swappiness", to="HostConfig.MemorySwappiness", parse=values.whole),
    _many("--mount", to="HostConfig.Mounts", parse=mount, help="Attach a filesystem mount"),
    _one("--name", help="Assign a name to the container"),
    _many("--network", "--net", parse=attachment, help="Connect a container to a network"),
    _many("--network-alias", "--net-alias", help="Add network-scoped alias for the container"),
    _switch("--no-healthcheck", help="Disable any container-specified HEALTHCHECK"),
    _switch("--oom-kill-disable", to="HostConfig.OomKillDisable", help="Disable OOM Killer"),
    _one("--oom-score-adj", to="HostConfig.OomScoreAdj", parse=values.whole),
    _one("--pid", to="HostConfig.PidMode", help="PID namespace to use"),
    _one("--pids-limit", to="HostConfig.PidsLimit", parse=values.whole, help="Limit of processes"),
    _one("--platform", help="Set platform if server is multi-platform capable"),
    _switch("--privileged", to="HostConfig.Privileged", help="Give extended privileges"),
    _many("-p", "--publish", help="Publish a container's port(s) to the host"),
    _switch("-P", "--publish-all", to="HostConfig.PublishAllPorts", help="Publish exposed ports"),
    _one("--pull", default="missing", help="Pull image before: always, missing or never"),
    _switch("-q", "--quiet", help="Suppress the pull output"),
    _switch("--read-only", to="HostConfig.ReadonlyRootfs", help="Mount the root read only"),
    _one("--restart", default="no", help="Restart policy to apply when a container exits"),
    _switch("--rm", to="HostConfig.AutoRemove", help="Remove the container when it exits"),
    _one("--runtime", to="HostConfig.Runtime", help="Runtime to use for this container"),
    _many("--security-opt", help="Security Options"),
    _one("--shm-size", to="HostConfig.ShmSize", parse=values.size_bytes, help="Size of /dev/shm"),
    _one("--stop-signal", to="StopSignal", help="Signal to stop the container"),
    _one("--stop-timeout", to="StopTimeout", parse=values.whole, help="Seconds to stop in"),
    _many("--storage-opt", help="Storage driver options for the container"),
    _many("--sysctl", to="HostConfig.Sysctls", parse=sysctl, help="Sysctl options"),
    _many("--tmpfs", help="Mount a tmpfs directory"),
    _switch("-t", "--tty", to="Tty", help="Allocate a pseudo-TTY"),
    _many("--ulimit", to="HostConfig.Ulimits", parse=limits.ulimit, help="Ulimit options"),
    _one("-u", "--user", to="User", help="Username or UID (format: <name|uid>[:<group|gid>])"),
    _one("--userns", to="HostConfig.UsernsMode", help="User namespace to use"),
    _one("--uts", to="HostConfig.UTSMode", help="UTS namespace to use"),
    _many("-v", "--volume", help="Bind mount a volume"),
    _one("--volume-driver", to="HostConfig.VolumeDriver", help="Volume driver for the container"),
    _many("--volumes-from", to="HostConfig.VolumesFrom", help="Mount volumes from containers"),
    _one("-w", "--workdir", to="WorkingDir", help="Working directory inside the container"),
)
# Options whose many values are pairs and make a mapping.
MAPPINGS = frozenset(
    {"HostConfig.Annotations", "HostConfig.LogConfig.Config", "HostConfig.Sysctls"}
)
