"""Tests that run in a VM: `pytestmark = pytest.mark.vm("uml")` at the head of a file.

The file is written like any other. Its first test that is due starts one VM, where a pytest of
its own runs all tests of the file that were chosen; each is reported here as if it had run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.lab.vm import INSIDE, VM, NoVM

REPORTS = "FAIRLEAD_LAB_REPORTS"
"""In the environment of the pytest inside: the file to which its reports go."""

PATIENCE_SECONDS = 900

Reports = dict[str, list[dict[str, Any]]]


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Reports what a test did in its VM, which is started for the first test of a file."""
    wanted = _kernel(item)
    if wanted is None or os.environ.get(INSIDE) == wanted:
        return None
    done = item.session.stash.setdefault(_DONE, {})
    if item.path not in done:
        done[item.path] = _run(item, wanted)
    reports, story = done[item.path]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    told = reports.get(item.nodeid, [])
    if "teardown" not in [data["when"] for data in told]:
        told = [data for data in told if data["when"] == "setup"] + [_lost(item, story)]
    for data in told:
        report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
        if isinstance(report.longrepr, list):
            # Where and why a test was skipped; JSON knows no tuples.
            report.longrepr = tuple(report.longrepr)
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What the test before this one had in common with it only is not taken down by itself.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Inside: hands each report out at once, so that a machine that dies leaves the others."""
    path = os.environ.get(REPORTS)
    if path is not None and INSIDE in os.environ:
        assert _config is not None
        data = _config.hook.pytest_report_to_serializable(config=_config, report=report)
        with open(path, "a", encoding="utf-8") as out:
            out.write(json.dumps(data, default=str) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps what turns reports into JSON and back."""
    global _config  # noqa: PLW0603  # pytest hands it to no hook that sees reports
    _config = config


_config: pytest.Config | None = None
_DONE: pytest.StashKey[dict[Path, tuple[Reports, str]]] = pytest.StashKey()


def _kernel(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("vm")
    return str(mark.args[0]) if mark is not None else None


def _run(item: pytest.Item, kernel: str) -> tuple[Reports, str]:
    """Runs the chosen tests of a file in a VM; their reports, and all that the run said."""
    chosen = [other.nodeid for other in item.session.items if other.path == item.path]
    mark = item.get_closest_marker("vm")
    options = dict(mark.kwargs) if mark is not None else {}
    with tempfile.TemporaryDirectory(prefix="fairlead-reports-") as folder:
        out = Path(folder, "reports")
        story = ""
        try:
            with VM(kernel, writable=[folder], **options) as vm:
                story = _pytest(vm, item.config.rootpath, chosen, out)
        except (NoVM, subprocess.TimeoutExpired) as error:
            # What it reported until then counts.
            story = str(error)
        reports: Reports = {}
        for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
            data = json.loads(line)
            reports.setdefault(data["nodeid"], []).append(data)
    return reports, story


def _pytest(vm: VM, folder: Path, chosen: list[str], reports: Path) -> str:
    """Runs pytest inside; returns all that it said."""
    done = vm.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen],
        check=False,
        timeout=PATIENCE_SECONDS,
        env={REPORTS: str(reports), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
    )
    return f"status {done.returncode}\n{done.stdout}{done.stderr}\n{vm.console[-2000:]}"


def _lost(item: pytest.Item, story: str) -> dict[str, Any]:
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"the VM did not report this test\n{story}",
        when="call",
    )
    data: dict[str, Any] = item.config.hook.pytest_report_to_serializable(
        config=item.config, report=report
    )
    return data
