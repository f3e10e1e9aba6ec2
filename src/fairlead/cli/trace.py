"""`fairlead trace`: what becomes of a packet on this host, rule by rule, and why."""

from __future__ import annotations

import json
import sys
from typing import Any

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import remote
from fairlead.http.client import ApiError

STATUS = {"open": 0, "closed": 1, "leaves": 0, "unknown": 2}
"""As programs see the last word."""
USUAL_SECONDS = 60


@command("SOURCE [TARGET]:PORT", least=2, most=2)
@flag("--udp", help="Follow a datagram, not the beginning of a TCP connection")
@option("--to", help="Container, sandbox or address the packet is for, if not this host")
@flag("--watch", help="Then show what becomes of such packets that are really sent")
@option("--seconds", help="How long to watch (default 60)", parse=int)
@flag("--all", help="Show every rule it meets, not only those that decide")
@option("--format", help="json")
def trace(
    args: tuple[str, ...],
    udp: bool,
    to: str | None,
    watch: bool,
    seconds: int | None,
    all: bool,
    format: str | None,
) -> int:
    if format not in (None, "json"):
        raise Refused(f"unknown format {format!r}", hint="use json, or none")
    body: dict[str, Any] = {"From": args[0], "To": _target(args[1], to, udp), "All": all}
    if watch or seconds is not None:
        body["Seconds"] = USUAL_SECONDS if seconds is None else seconds
    try:
        reply = remote().open("POST", "/fairlead/trace", body=body)
    except ApiError as error:
        if "page not found" in error.message:
            message = "the daemon there is not fairlead, or an older one"
            hint = "name fairlead's socket with -H or FAIRLEAD_HOST"
            raise Refused(message, hint=hint) from error
        raise
    return max((_show(json.loads(line), format) for line in reply.lines()), default=0)


def _target(text: str, to: str | None, udp: bool) -> str:
    """Who is sent to, with the port and the protocol, as the daemon has it."""
    if to is not None:
        if not text.startswith(":"):
            raise Refused(f"{text} and --to {to} both name who is sent to", hint="leave one out")
        text = f"[{to}]{text}" if ":" in to else f"{to}{text}"
    return f"{text}/udp" if udp and "/" not in text else text


def _show(report: dict[str, Any], format: str | None) -> int:
    if format == "json":
        print(json.dumps(report, ensure_ascii=False), flush=True)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in report["Lines"]))
        sys.stdout.flush()
    return STATUS.get(report["Verdict"], 0)
