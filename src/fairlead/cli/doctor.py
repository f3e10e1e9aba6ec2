"""`fairlead doctor`: what is wrong with this host's networks, why it matters and what to do."""

from __future__ import annotations

import json
import sys
from typing import Any

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import remote
from fairlead.http.client import ApiError


@command("", most=0)
@flag("--fix", help="Repair what differs from what is wanted, edits by hand too")
@option("--format", help="json")
def doctor(args: tuple[str, ...], fix: bool, format: str | None) -> int:
    if format not in (None, "json"):
        raise Refused(f"unknown format {format!r}", hint="use json, or none")
    report = _ask("POST" if fix else "GET")
    if format == "json":
        print(json.dumps(report, indent=4, ensure_ascii=False))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(report, fix)))
    return 0 if report["Healthy"] else 1


def _ask(method: str) -> Any:
    daemon = remote()
    try:
        return daemon.ask(method, "/fairlead/doctor")
    except ApiError as error:
        if "page not found" in error.message:
            message = f"the daemon at {daemon.host} is not fairlead, or an older one"
            hint = "name fairlead's socket with -H or FAIRLEAD_HOST"
            raise Refused(message, hint=hint) from error
        raise


def _lines(report: dict[str, Any], fix: bool) -> list[str]:
    lines: list[str] = []
    if fix:
        lines += ["repaired:", *(f"  {line}" for line in report["Repaired"] or ["nothing"]), ""]
    for finding in report["Findings"]:
        lines.append(f"{finding['Severity']}: {finding['What']}")
        lines += [f"    {line}" for line in finding["Details"]]
        lines.append(f"    why: {finding['Why']}")
        if finding["Todo"]:
            lines.append(f"    do:  {finding['Todo']}")
    if report["Healthy"]:
        lines.append("nothing is wrong")
    return lines
