"""Limits as the OCI runtime spells them. Pure."""

from __future__ import annotations

from typing import Any

from fairlead.model.container import Limits
from fairlead.runtime.host import Host

PERIOD_US = 100_000


def resources(limits: Limits, host: Host) -> dict[str, Any]:
    """The ``resources`` object, with nothing in it that was not asked for."""
    made: dict[str, Any] = {}
    if memory := _memory(limits, host):
        made["memory"] = memory
    if cpu := _cpu(limits):
        made["cpu"] = cpu
    if limits.pids is not None and limits.pids != 0:
        made["pids"] = {"limit": limits.pids}
    if limits.blkio_weight:
        made["blockIO"] = {"weight": limits.blkio_weight}
    return made


def _memory(limits: Limits, host: Host) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if limits.memory_bytes:
        made["limit"] = limits.memory_bytes
        if host.swap_limit:
            # As much swap as memory, unless the user said otherwise.
            made["swap"] = limits.memory_swap_bytes or 2 * limits.memory_bytes
    if limits.memory_reservation_bytes:
        made["reservation"] = limits.memory_reservation_bytes
    if limits.memory_swappiness is not None and limits.memory_swappiness >= 0 and not host.cgroup2:
        made["swappiness"] = limits.memory_swappiness
    if limits.oom_kill_disable:
        made["disableOOMKiller"] = True
    return made


def _cpu(limits: Limits) -> dict[str, Any]:
    quota, period = limits.cpu_quota_us, limits.cpu_period_us
    if limits.nano_cpus:
        quota, period = limits.nano_cpus * PERIOD_US // 1_000_000_000, PERIOD_US
    wanted = {
        "shares": limits.cpu_shares,
        "quota": quota,
        "period": period,
        "cpus": limits.cpuset_cpus,
        "mems": limits.cpuset_mems,
    }
    return {name: value for name, value in wanted.items() if value}
