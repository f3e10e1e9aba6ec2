"""`fairlead ps`: the containers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fairlead.cli import output, ports
from fairlead.cli.command import command, flag, option
from fairlead.cli.listing import Column, Listing, filter_pair, filters, label_of, labelled
from fairlead.cli.remote import remote
from fairlead.cli.values import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
COMMAND_WIDTH = 20
MOUNT_WIDTH = 15


@command()
@flag("-a", "--all", help="Show all containers (default shows just running)")
@option("-f", "--filter", many=True, parse=filter_pair, help="Filter output based on conditions")
@option("--format", default="", help="Format output using a custom template")
@option("-n", "--last", default=-1, parse=whole, help="Show n last created containers")
@flag("-l", "--latest", help="Show the latest created container (includes all states)")
@flag("--no-trunc", help="Don't truncate output")
@flag("-q", "--quiet", help="Only display container IDs")
@flag("-s", "--size", help="Display total file sizes")
def ps(args: tuple[str, ...], **flags: Any) -> None:
    last = 1 if flags["latest"] else flags["last"]
    size = flags["size"] or ".Size" in flags["format"]
    containers = remote().get(
        "/containers/json",
        all=1 if flags["all"] else None,
        limit=last if last > 0 else None,
        size=1 if size else None,
        filters=filters(flags["filter"]),
    )
    shown = listing(now=time.time(), full=flags["no_trunc"], size=flags["size"])
    shown.show(containers or [], quiet=flags["quiet"], format=flags["format"])


def listing(*, now: float, full: bool, size: bool = False) -> Listing:
    """What `ps` can show."""

    def identity(row: Mapping[str, Any]) -> str:
        return str(row["Id"]) if full else output.short_id(row["Id"])

    def ago(row: Mapping[str, Any]) -> str:
        return output.lasted(now - row["Created"]) + " ago"

    columns = {
        "ID": Column("CONTAINER ID", identity),
        "Image": Column("IMAGE", lambda row: image(row, full=full)),
        "Command": Column("COMMAND", lambda row: words(row, full=full)),
        "RunningFor": Column("CREATED", ago),
        "CreatedAt": Column("CREATED AT", lambda row: output.moment(row["Created"])),
        "Status": Column("STATUS", lambda row: row.get("Status") or ""),
        "State": Column("STATE", lambda row: row.get("State") or ""),
        "Ports": Column("PORTS", lambda row: ports.shown(row.get("Ports") or [])),
        "Names": Column("NAMES", lambda row: names(row, full=full)),
        "Size": Column("SIZE", sizes),
        "Mounts": Column("MOUNTS", lambda row: mounts(row, full=full)),
        "LocalVolumes": Column("LOCAL VOLUMES", local_volumes),
        "Networks": Column("NETWORKS", networks),
        "Label": Column("LABEL", label_of),
        "Labels": Column("LABELS", labelled),
    }
    return Listing(columns, (*DEFAULT, "Size") if size else DEFAULT)


def names(row: Mapping[str, Any], *, full: bool) -> str:
    """The container's names without their slash; links' names only in full."""
    every = [name.removeprefix("/") for name in row.get("Names") or ()]
    return ",".join(name for name in every if full or "/" not in name)


def image(row: Mapping[str, Any], *, full: bool) -> str:
    """The image as it was named; by its id when the name is gone."""
    name = str(row.get("Image") or "")
    if not name:
        return "<no image>"
    if full:
        return name
    if name == row.get("ImageID"):
        return output.short_id(name)
    return name.partition("@")[0] if "@" in name else name


def words(row: Mapping[str, Any], *, full: bool) -> str:
    """The command in quotes."""
    text = str(row.get("Command") or "")
    return output.quoted(text if full else output.shortened(text, COMMAND_WIDTH))


def sizes(row: Mapping[str, Any]) -> str:
    """The size of what was written, and of the image too."""
    written, virtual = row.get("SizeRw") or 0, row.get("SizeRootFs") or 0
    text = output.decimal_size(written)
    return f"{text} (virtual {output.decimal_size(virtual)})" if virtual else text


def mounts(row: Mapping[str, Any], *, full: bool) -> str:
    """The volumes and paths mounted."""
    every = [each.get("Name") or each.get("Source") or "" for each in row.get("Mounts") or ()]
    return ",".join(each if full else output.shortened(each, MOUNT_WIDTH) for each in every)


def local_volumes(row: Mapping[str, Any]) -> str:
    """How many volumes of the local driver are mounted."""
    return str(sum(each.get("Driver") == "local" for each in row.get("Mounts") or ()))


def networks(row: Mapping[str, Any]) -> str:
    """The names of the networks it is on."""
    return ",".join(((row.get("NetworkSettings") or {}).get("Networks") or {}).keys())
