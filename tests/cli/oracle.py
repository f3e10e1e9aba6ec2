"""Runs a command line and keeps what it said; the same for Docker's client, as the oracle.

The rule it keeps: only the program's own name is evened out between the two.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from fairlead.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cli.recorder import Recorder, Request

# Messages and columns are those of this client; another major version has others.
DOCKER_VERSION = "Docker version 28."
PATIENCE_SECONDS = 120
FAIRLEAD = (
    sys.executable,
    "-c",
    "import sys; from fairlead.cli.main import main; sys.exit(main())",
)
# Where an empty object means something: a set written as a mapping.
SETS = frozenset({"ExposedPorts", "Volumes", "Tmpfs", "EndpointsConfig"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed, its exit status, and what it asked the daemon."""

    status: int
    out: str
    err: str
    asked: tuple[tuple[Any, ...], ...]


def run(
    program: Sequence[str],
    args: Sequence[str],
    recorder: Recorder,
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Said:
    """Run a program against the recorder."""
    env = {**os.environ, "DOCKER_HOST": recorder.host, "TZ": "UTC", **(environment or {})}
    already = len(recorder.requests)
    done = subprocess.run(
        [*program, *args],
        env=env,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    asked = _asked(recorder, already)
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode(), asked)


def inside(args: Sequence[str], recorder: Recorder) -> Said:
    """Run fairlead within this process: the same for whoever asks, and ten times as fast."""
    already = len(recorder.requests)
    out, err, stdin = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(["-H", recorder.host, *args])
    finally:
        sys.stdin = stdin
    return Said(status, out.getvalue(), err.getvalue(), _asked(recorder, already))


def _asked(recorder: Recorder, already: int) -> tuple[tuple[Any, ...], ...]:
    # Several things asked for at once arrive in any order.
    return tuple(sorted((as_asked(each) for each in recorder.requests[already:]), key=str))


@cache
def docker_client() -> str | None:
    """Docker's client, if the one on the PATH is of the version we follow."""
    found = shutil.which("docker")
    if found is None:
        return None
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return found if done.stdout.startswith(DOCKER_VERSION) else None


def docker(args: Sequence[str], recorder: Recorder, *, stdin: bytes = b"") -> Said:
    """What Docker's client says, under our name."""
    client = docker_client()
    assert client is not None
    said = run([client], args, recorder, stdin=stdin)
    err = said.err.replace("docker", "fairlead").replace("\nSee 'fairlead", "\nRun 'fairlead")
    if "Usage:" not in err:
        # After a refusal of create's Docker adds where to find help.
        err = err.partition("\n\nRun 'fairlead ")[0].rstrip("\n") + "\n" if err else ""
    return Said(said.status, said.out, err, said.asked)


def as_asked(request: Request) -> tuple[Any, ...]:
    """A request without what only one client bothers to say."""
    query = {
        key: json.loads(value) if value.startswith("{") else value
        for key, value in request.query.items()
    }
    kind = request.headers.get("Content-Type", "")
    body = pruned(request.json) if "json" in kind else request.body
    return request.method, request.path, query, body or None


def pruned(value: Any) -> Any:
    """JSON without what is nothing: null, false, zero and the empty."""
    if isinstance(value, list):
        return [pruned(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        if key in SETS and item:
            kept = {name: pruned(each) for name, each in item.items()}
            # The only network, and nothing said of it but its name.
            if key == "EndpointsConfig" and not any(kept.values()) and len(kept) == 1:
                continue
            made[key] = kept
            continue
        item = pruned(item)  # noqa: PLW2901
        if key == "Env" and item:
            # Docker's client puts what -e gives into a map, and so in any order.
            item = sorted(item)  # noqa: PLW2901
        nothing = not item
        unset = (key, item) in (("MemorySwappiness", -1), ("ConsoleSize", [0, 0]))
        if not nothing and not unset:
            made[key] = item
    return made
