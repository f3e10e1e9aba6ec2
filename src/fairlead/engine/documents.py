"""What clients send and `inspect` shows again: Docker's documents, typed.

Attributes are ours, names on the wire are Docker's, and the defaults are what
Docker fills in. Unknown fields are dropped and ``null`` stands for absent, so
that a document read and written again is the one `inspect` owes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from fairlead.model.errors import Invalid

T = TypeVar("T")


class PortBinding(Struct, frozen=True, rename="pascal"):
    """Where on the host a port is published; empty means: choose."""

    host_ip: str = ""
    host_port: str = ""
    sources: list[str] | msgspec.UnsetType = msgspec.UNSET
    """Ours: the networks from which it is reached, if not from everywhere."""


class RestartPolicy(Struct, frozen=True, rename="pascal"):
    """What to do when the container ends by itself."""

    name: str = "no"
    maximum_retry_count: int = 0


class LogConfig(Struct, frozen=True, rename="pascal"):
    """How output is kept."""

    type: str = "json-file"
    config: dict[str, str] = field(default_factory=dict)


class UlimitDocument(Struct, frozen=True, rename="pascal"):
    """One limit of ``setrlimit``."""

    name: str = ""
    hard: int = 0
    soft: int = 0


class DeviceDocument(Struct, frozen=True, rename="pascal"):
    """One device of the host."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class BindOptions(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False


class VolumeDriver(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Driver and options of a volume that a mount makes."""

    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a volume mount."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: VolumeDriver | None = None
    subpath: str = ""


class TmpfsOptions(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a tmpfs mount."""

    size_bytes: int = 0
    mode: int = 0


class MountDocument(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A mount as ``--mount`` asks for it."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class Config(Struct, frozen=True, rename="pascal", kw_only=True):
    """What runs: the part of a container that an image could have said too."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    healthcheck: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    args_escaped: bool | msgspec.UnsetType = msgspec.UNSET
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: list[str] | str | None = None
    network_disabled: bool | msgspec.UnsetType = msgspec.UNSET
    mac_address: str | msgspec.UnsetType = msgspec.UNSET
    on_build: list[str] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | msgspec.UnsetType = msgspec.UNSET
    stop_timeout: int | msgspec.UnsetType = msgspec.UNSET
    shell: list[str] | msgspec.UnsetType = msgspec.UNSET

    @property
    def ports(self) -> list[str]:
        """The exposed ports, ``80/tcp``."""
        return list(self.exposed_ports) if self.exposed_ports else []

    @property
    def argv(self) -> list[str]:
        """Entrypoint and command in one."""
        return words(self.entrypoint) + words(self.cmd)


class HostConfig(Struct, frozen=True, rename="pascal", kw_only=True):
    """How it runs on this host."""

    binds: list[str] | None = None
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = "bridge"
    port_bindings: dict[str, list[PortBinding] | None] = field(default_factory=dict)
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: tuple[int, int] = (0, 0)
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] = field(default_factory=list)
    dns_options: list[str] = field(default_factory=list)
    dns_search: list[str] = field(default_factory=list)
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = "private"
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    tmpfs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    runtime: str = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[Any] | None = None
    blkio_device_read_bps: list[Any] | None = None
    blkio_device_write_bps: list[Any] | None = None
    blkio_device_read_iops: list[Any] | None = field(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_iops: list[Any] | None = field(default=None, name="BlkioDeviceWriteIOps")
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceDocument] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[Any] | None = None
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    pids_limit: int | None = None
    ulimits: list[UlimitDocument] | None = None
    mounts: list[MountDocument] | msgspec.UnsetType = msgspec.UNSET
    init: bool | msgspec.UnsetType = msgspec.UNSET
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = field(default=0, name="IOMaximumBandwidth")
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None


class IpamConfig(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """The addresses an endpoint asks for."""

    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_ips: list[str] | None = field(default=None, name="LinkLocalIPs")


class EndpointSettings(Struct, frozen=True, rename="pascal", kw_only=True):
    """How a container asks to be on a network."""

    ipam_config: IpamConfig | None = field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0


class NetworkingConfig(Struct, frozen=True, rename="pascal"):
    """Networks to join from the start."""

    endpoints_config: dict[str, EndpointSettings] = field(default_factory=dict)


class ExecConfig(Struct, frozen=True, rename="pascal", kw_only=True):
    """One more program in a running container."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None
    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    working_dir: str = ""
    cmd: list[str] | None = None


def words(text: list[str] | str | None) -> list[str]:
    """A command as its words; a plain text, as old clients send it, is one."""
    if text is None:
        return []
    return [text] if isinstance(text, str) else text


def _present(value: Any) -> Any:
    """The value without what is null, at every depth but in lists."""
    if isinstance(value, Mapping):
        return {k: _present(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_present(v) for v in value]
    return value


def read(document: Mapping[str, Any] | None, kind: type[T]) -> T:
    """A document from decoded JSON. Raises Invalid."""
    try:
        return msgspec.convert(_present(document or {}), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from None
