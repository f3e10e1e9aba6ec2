"""`bench/run`: measures what was asked for and prints it, with the goals beside the figures.

Nothing is asserted: a loaded machine is no failure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import (
    clusters,
    commands,
    containers,
    floor,
    growth,
    healing,
    memory,
    names,
    networks,
    ports,
    scale,
    stores,
    tunnel,
)
from bench.figures import Figure, table
from bench.subjects import Subject, subjects

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
LEGEND = "median (least–greatest) of interleaved rounds"
BEGIN, END = "<!-- bench/run --write -->\n```text\n", "\n```\n"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Something to measure, with its usual and its least number of rounds."""

    title: str
    measure: Callable[[Sequence[Subject], int], list[Figure]]
    rounds: int
    quick: int


BENCHMARKS = {
    "memory": Benchmark("Memory (proportional set size)", memory.measure, 10, 1),
    "run": Benchmark("docker run --rm … true", containers.measure, 15, 3),
    "networks": Benchmark("API requests on an open connection", networks.measure, 30, 5),
    "names": Benchmark("Names of containers", names.own, 7, 1),
    "forward": Benchmark("Forwarded names", names.forwarded, 7, 1),
    "kept": Benchmark("Forwarded names that live for minutes", names.kept, 7, 1),
    "dead": Benchmark("Forwarded names, one server of three dead", names.dead, 3, 1),
    "ports": Benchmark("200 published ports on one container", ports.measure, 3, 1),
    "connections": Benchmark("Connections to published ports", ports.connections, 5, 1),
    "attach": Benchmark("Attaching, among few and many", growth.attaching, 2, 1),
    "thousand": Benchmark("Creating networks, among few and many", growth.networks, 2, 1),
    "start": Benchmark("Starting where much runs", growth.starting, 2, 1),
    "cli": Benchmark("A command that asks the daemon", commands.measure, 15, 3),
    "healing": Benchmark("Looking after the host", healing.measure, 3, 2),
    "stores": Benchmark("Stores that clusters share", stores.measure, 200, 20),
    "clusters": Benchmark("From one host of a cluster to another", clusters.measure, 10, 2),
    "tunnel": Benchmark("Between containers on two hosts", tunnel.measure, 15, 3),
    "scale": Benchmark("A cluster of many hosts, in one process", scale.measure, 2, 1),
    "floor": Benchmark("An endpoint in the kernel alone", floor.measure, 10, 5),
}
"""In the order they are taken: memory while both daemons are fresh."""


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a few minutes")
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="measure just this")
    parser.add_argument("--write", action="store_true", help="write it to docs/performance.md too")
    chosen = parser.parse_args()
    begun = time.monotonic()
    tables: dict[str, str] = {}
    with subjects() as daemons:
        for name in chosen.only or BENCHMARKS:
            benchmark = BENCHMARKS[name]
            rounds = benchmark.quick if chosen.quick else benchmark.rounds
            found = table(benchmark.title, benchmark.measure(daemons, rounds))
            tables[benchmark.title] = found
            print(found, end="\n\n", flush=True)
            if chosen.write:
                DOCUMENT.write_text(written(DOCUMENT.read_text(), tables))
    print(f"took {time.monotonic() - begun:.0f} s; {LEGEND}")


def written(document: str, tables: Mapping[str, str]) -> str:
    """A document with these tables in the place of their likes of earlier runs; others stay."""
    before, _, rest = document.partition(BEGIN)
    there, _, after = rest.partition(END)
    kept = {text.partition("\n")[0]: text for text in there.split("\n\n")}
    titles = [benchmark.title for benchmark in BENCHMARKS.values()]
    found = [({**kept, **tables})[title] for title in titles if title in {**kept, **tables}]
    return f"{before}{BEGIN}" + "\n\n".join([*found, LEGEND]) + f"{END}{after}"


if __name__ == "__main__":
    main()
