"""What a container uses: one reading of its control groups, as Docker words it.

The hierarchy may be v1 (a directory for each controller) or v2 (one for all);
the files differ, the answer does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
_TICKS_PER_S = 100
_NS_PER_S = 1_000_000_000


def reading(id: str, name: str, pid: int, now: datetime) -> dict[str, Any]:
    """Everything about one container; what does not run uses nothing."""
    groups = _groups(pid) if pid else {}
    empty: dict[str, Any] = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": _throttling({}),
    }
    return {
        "name": f"/{name}",
        "id": id,
        "read": _time(now),
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": _pids(groups),
        "blkio_stats": {"io_service_bytes_recursive": _blkio(groups)},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(groups) if groups else empty,
        "precpu_stats": empty,
        "memory_stats": _memory(groups),
        "networks": _interfaces(pid) if pid else {},
    }


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _groups(pid: int) -> dict[str, Path]:
    """The directory of each controller; "" is that of v2."""
    found = {}
    for line in _lines(Path(f"/proc/{pid}/cgroup")):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found[""] = CGROUPS / path.lstrip("/")
            continue
        for controller in controllers.split(","):
            found[controller] = CGROUPS / controllers / path.lstrip("/")
            if not found[controller].exists():
                found[controller] = CGROUPS / controller / path.lstrip("/")
    return found


def _cpu(groups: Mapping[str, Path]) -> dict[str, Any]:
    if "cpuacct" in groups:
        usage = _table(groups["cpuacct"] / "cpuacct.stat")
        total = _number(groups["cpuacct"] / "cpuacct.usage")
        scale = _NS_PER_S // _TICKS_PER_S
        user, system = usage.get("user", 0) * scale, usage.get("system", 0) * scale
        throttled = _table(groups.get("cpu", groups["cpuacct"]) / "cpu.stat")
    else:
        usage = throttled = _table(groups.get("", CGROUPS) / "cpu.stat")
        total, user = usage.get("usage_usec", 0) * 1000, usage.get("user_usec", 0) * 1000
        system = usage.get("system_usec", 0) * 1000
    return {
        "cpu_usage": {
            "total_usage": total,
            "usage_in_kernelmode": system,
            "usage_in_usermode": user,
        },
        "system_cpu_usage": _system_cpu_ns(),
        "online_cpus": len(os.sched_getaffinity(0)),
        "throttling_data": _throttling(throttled),
    }


def _throttling(table: Mapping[str, int]) -> dict[str, int]:
    return {
        "periods": table.get("nr_periods", 0),
        "throttled_periods": table.get("nr_throttled", 0),
        "throttled_time": table.get("throttled_time", table.get("throttled_usec", 0) * 1000),
    }


def _system_cpu_ns() -> int:
    first = next(iter(_lines(Path("/proc/stat"))), "cpu 0")
    # user nice system idle iowait irq softirq steal, in ticks
    return sum(int(n) for n in first.split()[1:9]) * _NS_PER_S // _TICKS_PER_S


def _memory(groups: Mapping[str, Path]) -> dict[str, Any]:
    if "memory" in groups:
        directory = groups["memory"]
        usage = _number(directory / "memory.usage_in_bytes")
        limit = _number(directory / "memory.limit_in_bytes")
        peak = {"max_usage": _number(directory / "memory.max_usage_in_bytes")}
    elif "" in groups:
        directory = groups[""]
        usage, limit = _number(directory / "memory.current"), _number(directory / "memory.max")
        peak = {}
    else:
        return {}
    memory = _host_memory()
    return {
        "usage": usage,
        **peak,
        "stats": _table(directory / "memory.stat"),
        "limit": limit if 0 < limit < memory else memory,
    }


def _host_memory() -> int:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _pids(groups: Mapping[str, Path]) -> dict[str, int]:
    directory = groups.get("pids", groups.get(""))
    if directory is None:
        return {}
    found = {"current": _number(directory / "pids.current")}
    limit = _number(directory / "pids.max")
    return {**found, "limit": limit} if limit else found


def _blkio(groups: Mapping[str, Path]) -> list[dict[str, Any]] | None:
    directory = groups.get("blkio")
    if directory is None:
        return None
    found = []
    for line in _lines(directory / "blkio.throttle.io_service_bytes_recursive"):
        words = line.split()
        if len(words) == 3 and ":" in words[0]:
            major, _, minor = words[0].partition(":")
            found.append(
                {
                    "major": int(major),
                    "minor": int(minor),
                    "op": words[1].lower(),
                    "value": int(words[2]),
                }
            )
    return found


_COUNTERS = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
_SENT = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")


def _interfaces(pid: int) -> dict[str, dict[str, int]]:
    """Counters of the interfaces that a process sees, but for loopback."""
    found = {}
    for line in _lines(Path(f"/proc/{pid}/net/dev")):
        name, colon, numbers = line.partition(":")
        if not colon or name.strip() == "lo":
            continue
        values = [int(n) for n in numbers.split()]
        pairs = zip(_COUNTERS + _SENT, values[:4] + values[8:12], strict=True)
        found[name.strip()] = dict(pairs)
    return found


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        # The container ended while we read.
        return []


def _number(path: Path) -> int:
    text = next(iter(_lines(path)), "0")
    return int(text) if text.isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _lines(path))
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].lstrip("-").isdigit()}
