"""From a record to what the runtime needs to know."""

from __future__ import annotations

import signal
from pathlib import Path

from fairlead.engine.documents import ExecConfig, HostConfig
from fairlead.engine.mounts import as_mounts
from fairlead.engine.record import Record
from fairlead.model.container import (
    ContainerSpec,
    Device,
    ExecSpec,
    Limits,
    Process,
    Ulimit,
)
from fairlead.model.errors import Invalid

STOP_SIGNAL = "SIGTERM"
STOP_TIMEOUT_S = 10


def container_spec(
    record: Record,
    rootfs: Path,
    *,
    namespace: Path | None,
    hostname: str,
    files: dict[str, str],
    joined: dict[str, str],
    env: list[str],
    init: bool,
    ulimits: tuple[Ulimit, ...],
) -> ContainerSpec:
    """The whole of a container for the runtime; one table, however long.

    `files` are ours to mount (target to source); `joined` names namespaces of
    other containers by kind (ipc, pid); `env` is what the user's own comes on top of.
    """
    config, host = record.config, record.host
    return ContainerSpec(
        id=record.id,
        process=_process(record, env),
        rootfs=rootfs,
        hostname=hostname,
        domainname=config.domainname,
        read_only_rootfs=host.readonly_rootfs,
        mounts=as_mounts(record.mounts, files),
        limits=limits(host),
        cap_add=tuple(host.cap_add or ()),
        cap_drop=tuple(host.cap_drop or ()),
        privileged=host.privileged,
        sysctls=tuple((host.sysctls or {}).items()),
        ulimits=_ulimits(host, ulimits),
        devices=tuple(
            Device(d.path_on_host, d.path_in_container, d.cgroup_permissions or "rwm")
            for d in host.devices or ()
        ),
        init=host.init if isinstance(host.init, bool) else init,
        network_namespace=namespace,
        ipc=joined.get("ipc") or host.ipc_mode,
        pid=joined.get("pid") or host.pid_mode,
        uts=host.uts_mode,
        cgroup_namespace=host.cgroupns_mode,
        cgroup_parent=host.cgroup_parent,
        security_opt=tuple(host.security_opt or ()),
        shm_size_bytes=host.shm_size,
        oom_score_adj=host.oom_score_adj,
        masked_paths=_paths(host.masked_paths, host),
        readonly_paths=_paths(host.readonly_paths, host),
        annotations=tuple((host.annotations or {}).items()),
    )


def _process(record: Record, more: list[str]) -> Process:
    config, host = record.config, record.host
    named = {entry.partition("=")[0] for entry in config.env or ()}
    env = [entry for entry in more if entry.partition("=")[0] not in named]
    size = host.console_size if any(host.console_size) else None
    return Process(
        args=(record.path, *record.args),
        env=(*env, *(config.env or ())),
        cwd=config.working_dir or "/",
        user=config.user,
        groups=tuple(host.group_add or ()),
        terminal=config.tty,
        stdin=config.open_stdin,
        # A client that leaves a terminal may come back to it.
        stdin_once=config.stdin_once and not config.tty,
        console_size=size,
    )


def _paths(given: list[str] | None, host: HostConfig) -> tuple[str, ...] | None:
    if given is None:
        # Nothing asked for: none when privileged, else the runtime's own list.
        return () if host.privileged else None
    return tuple(given)


def _ulimits(host: HostConfig, defaults: tuple[Ulimit, ...]) -> tuple[Ulimit, ...]:
    asked = {u.name: Ulimit(u.name, u.soft, u.hard) for u in host.ulimits or ()}
    return tuple({**{u.name: u for u in defaults}, **asked}.values())


def limits(host: HostConfig) -> Limits:
    """What the container may use."""
    return Limits(
        memory_bytes=host.memory,
        memory_swap_bytes=host.memory_swap,
        memory_reservation_bytes=host.memory_reservation,
        # Docker writes -1 for "leave it to the kernel".
        memory_swappiness=None if host.memory_swappiness == -1 else host.memory_swappiness,
        oom_kill_disable=host.oom_kill_disable,
        nano_cpus=host.nano_cpus,
        cpu_shares=host.cpu_shares,
        cpu_quota_us=host.cpu_quota,
        cpu_period_us=host.cpu_period,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        # Zero and -1 both mean: as many as you like.
        pids=host.pids_limit if host.pids_limit and host.pids_limit > 0 else None,
        blkio_weight=host.blkio_weight,
    )


def exec_spec(config: ExecConfig, size: tuple[int, int] | None, *, detach: bool) -> ExecSpec:
    """One more program for the runtime."""
    return ExecSpec(
        process=Process(
            args=tuple(config.cmd or ()),
            env=tuple(config.env or ()),
            cwd=config.working_dir,
            user=config.user,
            terminal=config.tty,
            stdin=config.attach_stdin,
            stdin_once=True,
            console_size=size,
        ),
        privileged=config.privileged,
        detach=detach,
    )


def signal_number(text: str) -> int:
    """``SIGTERM``, ``term`` or ``15`` as its number. Raises Invalid."""
    name = text.strip().upper()
    if name.isdigit():
        number = int(name)
        if 1 <= number <= 64:
            return number
        raise Invalid(f"invalid signal: {text}")
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, plus, offset = name.partition("+")
    if plus and base == "SIGRTMIN" and offset.isdigit():
        return int(signal.SIGRTMIN) + int(offset)
    try:
        return int(signal.Signals[name])
    except KeyError:
        raise Invalid(f"invalid signal: {text}") from None
