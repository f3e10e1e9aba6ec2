"""`fairlead logs`: what a container has printed."""

from __future__ import annotations

import time
from datetime import datetime

from fairlead.cli import stream, values
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import name, remote


@command("CONTAINER", least=1, most=1)
@flag("--details", help="Show extra details provided to logs")
@flag("-f", "--follow", help="Follow log output")
@option("--since", default="", help='Show logs since a time ("2013-01-02T13:23:37Z", "42m")')
@option("-n", "--tail", default="all", help='Lines to show from the end (default "all")')
@flag("-t", "--timestamps", help="Show timestamps")
@option("--until", default="", help='Show logs before a time ("2013-01-02T13:23:37Z", "42m")')
def logs(
    args: tuple[str, ...],
    details: bool,
    follow: bool,
    since: str,
    tail: str,
    timestamps: bool,
    until: str,
) -> None:
    daemon = remote()
    path = f"/containers/{name(args[0])}"
    tty = bool(daemon.get(f"{path}/json")["Config"].get("Tty"))
    query = {
        "stdout": 1,
        "stderr": 1,
        "follow": follow or None,
        "timestamps": timestamps or None,
        "details": details or None,
        "tail": tail,
        "since": timestamp(since) or None,
        "until": timestamp(until) or None,
    }
    stream.copy_output(daemon.open("GET", f"{path}/logs", query=query).chunks(), tty=tty)


def timestamp(text: str) -> str:
    """A time or how long ago, as the API wants it: seconds of the epoch with nanoseconds."""
    if not text:
        return ""
    if text.replace(".", "", 1).isdigit():
        return text
    try:
        return f"{time.time() - values.nanoseconds(text) / 1e9:.9f}"
    except ValueError:
        pass_on = text.replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(pass_on)
    except ValueError:
        message = f'failed to parse value as time or duration: "{text}"'
        raise Refused(message) from None
    return f"{moment.timestamp():.9f}"
