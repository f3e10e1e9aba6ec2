"""`fairlead version` and `events`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fairlead import __version__
from fairlead.cli.command import Refused, command, option
from fairlead.cli.listing import filter_pair, filters
from fairlead.cli.logs import timestamp
from fairlead.cli.remote import API, remote
from fairlead.cli.report import reported
from fairlead.model.errors import FairleadError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGINE = "Engine"
SHOWN_FIRST = (
    ("Version", "Version"),
    ("API version", "ApiVersion"),
    ("Go version", "GoVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
)


@command()
@option("-f", "--format", default="", help="Format output using a custom template")
def version(args: tuple[str, ...], format: str) -> int:
    client = {"Version": __version__, "ApiVersion": API.removeprefix("/v")}
    client |= {"DefaultAPIVersion": client["ApiVersion"], "Os": "linux", "Arch": _machine()}
    failed: FairleadError | None = None
    try:
        server = remote().get("/version")
    except FairleadError as error:
        # Without a daemon half of the answer is still an answer.
        server, failed = None, error
    if format:
        _formatted({"Client": client, "Server": server}, format)
    else:
        sys.stdout.write(_client_text(client) + (_server_text(server) if server else ""))
    sys.stdout.flush()
    return reported(failed) if failed is not None else 0


def _machine() -> str:
    import os

    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _client_text(client: Mapping[str, Any]) -> str:
    rows = (
        ("Version", client["Version"]),
        ("API version", client["ApiVersion"]),
        ("Python version", sys.version.split()[0]),
        ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
    )
    return "Client: fairlead\n" + "".join(f" {key + ':':<18} {value}\n" for key, value in rows)


def _server_text(server: Mapping[str, Any]) -> str:
    platform = (server.get("Platform") or {}).get("Name") or ""
    lines = [f"\nServer: {platform}".rstrip()]
    for part in server.get("Components") or ({**server, "Name": ENGINE, "Details": server},):
        lines.append(f" {part['Name']}:")
        details = part.get("Details") or {}
        rows = [("Version", part.get("Version") or "")]
        if part["Name"] == ENGINE:
            rows += _engine_rows(details)
        else:
            rows += sorted(details.items())
        lines += [f"  {key + ':':<17} {value}" for key, value in rows]
    return "\n".join(lines) + "\n"


def _engine_rows(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    api = f"{details.get('ApiVersion')} (minimum version {details.get('MinAPIVersion')})"
    rows = [("API version", api)]
    rows += [(label, details[key]) for label, key in SHOWN_FIRST[2:] if details.get(key)]
    rows.append(("OS/Arch", f"{details.get('Os')}/{details.get('Arch')}"))
    rows.append(("Experimental", str(details.get("Experimental", "false")).lower()))
    return rows


def _formatted(value: Any, format: str) -> None:
    from fairlead.cli import template

    text = "{{json .}}" if format == "json" else format
    sys.stdout.write(template.parsed(text).render(value) + "\n")


@command()
@option("-f", "--filter", many=True, parse=filter_pair, help="Filter output based on conditions")
@option("--format", default="", help="Format output using a custom template")
@option("--since", default="", help="Show all events created since timestamp")
@option("--until", default="", help="Stream events until this timestamp")
def events(
    args: tuple[str, ...],
    filter: tuple[tuple[str, str], ...],
    format: str,
    since: str,
    until: str,
) -> None:
    from fairlead.cli import template

    wanted = "{{json .}}" if format == "json" else format
    made = template.parsed(wanted) if wanted else None
    query = {
        "since": timestamp(since) or None,
        "until": timestamp(until) or None,
        "filters": filters(filter),
    }
    for line in remote().open("GET", "/events", query=query).lines():
        try:
            event = json.loads(line)
        except ValueError as error:
            raise Refused(f"the daemon sent an event that is not JSON: {line[:80]!r}") from error
        sys.stdout.write((made.render(_event(event)) if made else event_line(event)) + "\n")
        sys.stdout.flush()


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as templates see it: by the names of its fields in Go."""
    renamed = {"id": "ID", "status": "Status", "from": "From", "time": "Time"}
    renamed |= {"timeNano": "TimeNano", "scope": "Scope"}
    fields = {name: event.get(key, "") for key, name in renamed.items()}
    return _Event(event, fields)


class _Event(dict[str, Any]):
    """Shows as it came, and also answers to Go's names."""

    def __init__(self, event: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        super().__init__(event)
        self._names = names

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._names

    def __missing__(self, key: str) -> Any:
        return self._names[key]


def event_line(event: Mapping[str, Any]) -> str:
    """One event on one line."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    shown = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    words = [_moment(event), event["Type"], event["Action"], actor.get("ID") or ""]
    return " ".join(words) + (f" ({shown})" if shown else "")


def _moment(event: Mapping[str, Any]) -> str:
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 10**9
    seconds, fraction = divmod(nanoseconds, 10**9)
    local = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    zone = local.strftime("%z")
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{local:%Y-%m-%dT%H:%M:%S}.{fraction:09d}{shown}"
