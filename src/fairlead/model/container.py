"""What a container is, before any runtime has heard of it.

Values only: what to run, on which root file system, with which limits and in
which namespaces. The words are Python's and the kernel's; Docker's spelling
stays in `api`, the OCI runtime's in `runtime.spec`. Zero, empty and None mean
"not asked for", so that a default is decided in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

MIB = 1024 * 1024


MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
"""What of the host a container does not see, unless it asks for a list of its own."""

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""What it sees and does not change."""

IPC_SYSCTLS = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shm_rmid_forced",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    }
)
"""Kernel settings that an IPC namespace has of its own."""


class MountKind(StrEnum):
    """Where the content of a mount comes from."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Process:
    """A program with its arguments, identity and standard streams."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    """``name``, ``uid``, ``uid:gid`` or ``name:group``, as an image's USER says it."""
    groups: tuple[str, ...] = ()
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    """The first client that closes its input closes the program's."""
    console_size: tuple[int, int] | None = None
    """Rows, columns."""


@dataclass(frozen=True, slots=True)
class Mount:
    """Something of the host, or memory, at a place in the container."""

    kind: MountKind
    source: str
    target: str
    read_only: bool = False
    options: tuple[str, ...] = ()
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit by its short name: ``nofile``, ``core``…"""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Device:
    """A device node of the host, given to the container."""

    source: str
    target: str = ""
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the container may use; zero and empty are "no limit of its own"."""

    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    """Memory and swap together; -1 is unlimited."""
    memory_reservation_bytes: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int | None = None
    blkio_weight: int = 0


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything a runtime needs to know to make one container."""

    id: str
    process: Process
    rootfs: Path
    hostname: str = ""
    domainname: str = ""
    read_only_rootfs: bool = False
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(default_factory=Limits)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    devices: tuple[Device, ...] = ()
    init: bool = False
    network_namespace: Path | None = None
    """None is the daemon's own: host mode."""
    ipc: str = "private"
    """``private``, ``shareable``, ``none``, ``host`` or the path of a namespace."""
    pid: str = ""
    """Empty for a namespace of its own, ``host`` or the path of one."""
    uts: str = ""
    cgroup_namespace: str = "host"
    cgroup_parent: str = ""
    security_opt: tuple[str, ...] = ()
    shm_size_bytes: int = 64 * MIB
    oom_score_adj: int = 0
    masked_paths: tuple[str, ...] | None = None
    """None is the usual list."""
    readonly_paths: tuple[str, ...] | None = None
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """One more program in a running container.

    An empty cwd or user is the container's; env is added to the container's.
    """

    process: Process
    privileged: bool = False
    detach: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How and when a container ended."""

    code: int
    at: datetime
    oom_killed: bool = False
