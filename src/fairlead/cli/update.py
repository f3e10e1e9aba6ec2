"""`fairlead update`: other limits for containers that exist."""

from __future__ import annotations

import sys
from typing import Any

from fairlead.cli import values
from fairlead.cli.command import Refused, command, option
from fairlead.cli.create_body import put, restart_policy
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each

PLACES = {
    "blkio_weight": "BlkioWeight",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpu_shares": "CpuShares",
    "cpus": "NanoCpus",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "memory": "Memory",
    "memory_reservation": "MemoryReservation",
    "memory_swap": "MemorySwap",
    "pids_limit": "PidsLimit",
}


@command("CONTAINER [CONTAINER...]", least=1, most=None)
@option("--blkio-weight", parse=values.unsigned, help="Block IO (relative weight)")
@option("--cpu-period", parse=values.whole, help="Limit CPU CFS period")
@option("--cpu-quota", parse=values.whole, help="Limit CPU CFS quota")
@option("--cpu-rt-period", parse=values.whole, help="Limit CPU real-time period in microseconds")
@option("--cpu-rt-runtime", parse=values.whole, help="Limit CPU real-time runtime in microseconds")
@option("-c", "--cpu-shares", parse=values.whole, help="CPU shares (relative weight)")
@option("--cpus", parse=values.nano_cpus, help="Number of CPUs")
@option("--cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)")
@option("--cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)")
@option("-m", "--memory", parse=values.size_bytes, help="Memory limit")
@option("--memory-reservation", parse=values.size_bytes, help="Memory soft limit")
@option("--memory-swap", parse=values.swap_bytes, help="Memory plus swap: -1 for no limit")
@option("--pids-limit", parse=values.whole, help="Limit of processes (-1 for none)")
@option("--restart", help="Restart policy to apply when a container exits")
def update(args: tuple[str, ...], restart: str | None, **flags: Any) -> int:
    body: dict[str, Any] = {}
    for flag, place in PLACES.items():
        put(body, place, flags[flag])
    if restart is not None:
        try:
            body["RestartPolicy"] = restart_policy(restart)
        except ValueError as error:
            raise Refused(str(error)) from error
    if not body:
        raise Refused("you must provide one or more flags when using this command")
    daemon = remote()

    def one(ref: str) -> str:
        answer = daemon.post(f"/containers/{name(ref)}/update", body) or {}
        for warning in answer.get("Warnings") or ():
            sys.stderr.write(f"{warning}\n")
        return ref

    return each(args, one)
