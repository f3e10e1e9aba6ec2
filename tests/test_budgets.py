"""Starting the command line stays cheap: what it may not import before it knows the command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Each of these costs more than the whole rest of `fairlead network ls`.
BANNED = ("asyncio", "structlog", "rich", "prometheus_client", "pyroute2")


def test_the_cli_starts_without_the_daemons_libraries() -> None:
    """Importing the entry point leaves out what only some commands need."""
    assert _imported_by("import fairlead.cli.main").isdisjoint(BANNED)


def test_the_daemon_draws_nothing() -> None:
    """What is for terminals alone is no part of it."""
    found = _imported_by("import fairlead.cli.daemon, fairlead.cli.wiring")
    assert "structlog" in found
    assert "rich" not in found


def test_the_library_is_loaded_when_it_is_used() -> None:
    """Importing fairlead costs nothing; asking it for something loads that."""
    nothing = {name for name in _imported_by("import fairlead") if name.startswith("fairlead.")}
    assert nothing == set()
    assert "fairlead.library.plain" in _imported_by("import fairlead; fairlead.open")


@pytest.mark.parametrize("module", [name for name in BANNED if name != "pyroute2"])
def test_the_measure_sees_an_import(module: str) -> None:
    """A banned import does show up, so the test above can fail."""
    assert module in _imported_by(f"import {module}")


def _imported_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys, json\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stdout))
