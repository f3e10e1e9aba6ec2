"""Which runtime runs here, and how it must be called.

crun takes about half of runc's time, so it is the first choice. Two things can
stand in its way:

* A hybrid cgroup tree with a controller in the version 2 part: crun 1.8 asks to
  drop all controllers from it. Behind a mount namespace without that part it
  works, so it gets one for each call. It is a fresh copy each time, because
  only a copy taken now shows the root file systems mounted until now.
* A pure version 2 tree and no CAP_SYS_RESOURCE: it wants to raise a limit for
  its device filter. Then runc it is.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fairlead.model.errors import Unavailable
from fairlead.runtime import process
from fairlead.runtime.host import Host

UNIFIED = "/sys/fs/cgroup/unified"
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ORDER = ("crun", "runc")

_VERSION = re.compile(r"version:?\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime program that works here."""

    name: str
    version: str
    argv: tuple[str, ...]
    """Up to, and without, the sub-command."""


async def choose(run: Path, host: Host, prefer: str = "") -> tuple[Runtime, ...]:
    """Every runtime that works here, the best first; raises when none does."""
    order = (prefer, *(name for name in ORDER if name != prefer)) if prefer else ORDER
    found = [await _probe(name, run, host) for name in order]
    usable = tuple(runtime for runtime in found if runtime is not None)
    if not usable:
        raise Unavailable(
            "no OCI runtime works on this host", hint="install crun or runc, and conmon"
        )
    return usable


async def _probe(name: str, run: Path, host: Host) -> Runtime | None:
    path = shutil.which(name, path=SEARCH)
    if path is None:
        return None
    argv: tuple[str, ...] = (path, f"--root={run / name}")
    candidates = [argv]
    if name == "crun":
        if host.cgroup2 and "CAP_SYS_RESOURCE" not in host.capabilities:
            return None
        if _hybrid():
            candidates = [_hidden(argv, tools) for tools in _TOOLS]
    for candidate in candidates:
        done = await process.run([*candidate, "--version"], env={"PATH": SEARCH})
        match = _VERSION.search(done.out.decode(errors="replace"))
        if done.code == 0 and match:
            return Runtime(name, match[1], candidate)
    return None


# A static busybox starts in half the time of the usual tools, where it is there.
_TOOLS = (("busybox",), ())


def _hybrid() -> bool:
    try:
        return bool(Path(UNIFIED, "cgroup.controllers").read_text().strip())
    except FileNotFoundError:
        return False


def _hidden(argv: tuple[str, ...], tools: tuple[str, ...]) -> tuple[str, ...]:
    script = f'umount {UNIFIED} && exec "$0" "$@"'
    words = (*tools, "unshare", "--mount", "--propagation=slave", *tools, "sh", "-c", script, *argv)
    # conmon wants the path of the program, not its name.
    return (shutil.which(words[0], path=SEARCH) or words[0], *words[1:])


async def conmon_version() -> str:
    """The version of conmon; raises when it is missing."""
    done = await process.run(["conmon", "--version"])
    match = _VERSION.search(done.out.decode(errors="replace"))
    return match[1] if match else "unknown"
