"""All that a program can leave on a machine, as lines: the same lines mean that nothing is left.

Links, addresses, routes, rules and pinned namespaces come from `snapshot`; mounts, listening
sockets, processes, kernel settings, control groups and files from `look`, run inside.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from tests.lab.machine import Machine

LOOK = Path(__file__).with_name("look.py")
FILES = ("/run", "/tmp", "/var/lib", "/var/tmp", "/etc")
# The harness's own, and what every program that asks for a rule leaves.
OURS = ("/run/.lab", "/run/fairlead-test.log", "/run/xtables.lock")
MOST_SHOWN = 4000
"""Characters: an interface too many shows in a hundred settings."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is there: lines by kind."""

    lines: Mapping[str, Sequence[str]]

    def where(self, keep: Callable[[str], bool]) -> Inventory:
        """The same, without some lines."""
        return Inventory({kind: [*filter(keep, found)] for kind, found in self.lines.items()})

    def changes(self, before: Inventory) -> str:
        """What came and went since, line by line; empty if nothing did."""
        return "".join(_changes(before.lines, self.lines))


def take(
    machine: Machine,
    *,
    cgroups: str = "",
    files: Sequence[str] = FILES,
    without: Sequence[str] = (),
) -> Inventory:
    """Looks at everything on a machine; control groups only below a parent that is its own."""
    asked = {"cgroups": cgroups, "files": list(files), "without": [*OURS, *without]}
    said = machine.run([sys.executable, "-I", "-S", LOOK, json.dumps(asked)]).stdout
    found: dict[str, Sequence[str]] = json.loads(said)
    return Inventory({"network": machine.snapshot().splitlines(), **found})


def settles(
    look: Callable[[], Inventory], before: Inventory, *, patience_seconds: float = 90
) -> None:
    """Waits until a machine is as it was, or says what is different."""
    deadline = time.monotonic() + patience_seconds
    while changes := look().changes(before):
        assert time.monotonic() < deadline, f"something came or went:\n{changes[:MOST_SHOWN]}"
        time.sleep(0.05)


def _changes(
    before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for kind in before:
        lines = unified_diff(before[kind], after[kind], kind, kind, n=0, lineterm="")
        yield from (f"{line}\n" for line in lines)
