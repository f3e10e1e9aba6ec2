"""`fairlead stats`: what containers use now."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli import output
from fairlead.cli.command import command, flag, option
from fairlead.cli.listing import Column, Listing
from fairlead.cli.remote import name, remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fairlead.cli.remote import Remote

    Sample = Mapping[str, Any]

CLEAR = "\x1b[2J\x1b[H"
DEFAULT = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


@command("[CONTAINER...]", least=0, most=None)
@flag("-a", "--all", help="Show all containers (default shows just running)")
@option("--format", default="", help="Format output using a custom template")
@flag("--no-stream", help="Only pull the first result")
@flag("--no-trunc", help="Do not truncate output")
def stats(
    args: tuple[str, ...],
    all: bool,
    format: str,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    daemon = remote()
    shown = listing(full=no_trunc)
    while True:
        refs = args or _every(daemon, everything=all)
        samples = _samples(daemon, refs)
        if not no_stream and sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        shown.show(samples, format=format)
        sys.stdout.flush()
        if no_stream:
            return


def _every(daemon: Remote, *, everything: bool) -> list[str]:
    found = daemon.get("/containers/json", all=1 if everything else None) or ()
    return [each["Id"] for each in found]


def _samples(daemon: Remote, refs: Sequence[str]) -> list[Sample]:
    """One sample of each; the daemon takes a second over it, so all are asked at once."""
    from concurrent.futures import ThreadPoolExecutor

    if not refs:
        import time

        time.sleep(1)
        return []

    def one(ref: str) -> Sample:
        reply = daemon.open("GET", f"/containers/{name(ref)}/stats", query={"stream": 0})
        return {**json.loads(reply.read()), "asked": ref}

    with ThreadPoolExecutor(len(refs)) as pool:
        return list(pool.map(one, refs))


def listing(*, full: bool) -> Listing:
    """What `stats` can show."""

    def identity(row: Sample) -> str:
        return str(row.get("id") or "") if full else output.short_id(row.get("id") or "")

    def memory(row: Sample) -> str:
        used, most = memory_bytes(row)
        return f"{output.binary_size(used)} / {output.binary_size(most)}"

    columns = {
        "Container": Column("CONTAINER", lambda row: row["asked"]),
        "ID": Column("CONTAINER ID", identity),
        "Name": Column("NAME", lambda row: str(row.get("name") or "").removeprefix("/")),
        "CPUPerc": Column("CPU %", lambda row: f"{cpu_percent(row):.2f}%"),
        "MemUsage": Column("MEM USAGE / LIMIT", memory),
        "MemPerc": Column("MEM %", lambda row: f"{memory_percent(row):.2f}%"),
        "NetIO": Column("NET I/O", network),
        "BlockIO": Column("BLOCK I/O", blocks),
        "PIDs": Column("PIDS", lambda row: str((row.get("pids_stats") or {}).get("current") or 0)),
    }
    return Listing(columns, DEFAULT)


def cpu_percent(row: Sample) -> float:
    """The share of one processor since the sample before."""
    now, before = row.get("cpu_stats") or {}, row.get("precpu_stats") or {}
    used = _total(now) - _total(before)
    passed = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    if used <= 0 or passed <= 0:
        return 0.0
    return float(used / passed * (now.get("online_cpus") or 1) * 100)


def _total(part: Mapping[str, Any]) -> int:
    return int((part.get("cpu_usage") or {}).get("total_usage") or 0)


def memory_bytes(row: Sample) -> tuple[int, int]:
    """Memory in use without the page cache that could go, and the limit."""
    memory = row.get("memory_stats") or {}
    used, details = memory.get("usage") or 0, memory.get("stats") or {}
    # cgroup v1 names it total_inactive_file, v2 inactive_file.
    idle = details.get("total_inactive_file", details.get("inactive_file", 0))
    return used - idle if idle < used else used, memory.get("limit") or 0


def memory_percent(row: Sample) -> float:
    """Memory in use as a share of the limit."""
    used, most = memory_bytes(row)
    return used / most * 100 if most else 0.0


def network(row: Sample) -> str:
    """Bytes received and sent on all interfaces."""
    links = (row.get("networks") or {}).values()
    sums = [sum(link.get(key) or 0 for link in links) for key in ("rx_bytes", "tx_bytes")]
    return " / ".join(output.decimal_size(each) for each in sums)


def blocks(row: Sample) -> str:
    """Bytes read from and written to block devices."""
    entries = (row.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    sums = [
        sum(entry["value"] for entry in entries if entry["op"].lower() == kind)
        for kind in ("read", "write")
    ]
    return " / ".join(output.decimal_size(each) for each in sums)
