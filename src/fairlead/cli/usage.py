"""`fairlead system df`: how much room images, containers and volumes take."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from fairlead.cli import image, output, ps
from fairlead.cli.command import command, flag, option
from fairlead.cli.listing import Column, Listing
from fairlead.cli.remote import remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[Mapping[str, Any]]

ALIVE = ("running", "paused", "restarting")


class Kind(NamedTuple):
    """One line of the summary."""

    name: str
    total: int
    active: int
    size: int
    reclaimable: int

    def spare(self) -> str:
        """What could be had back, in bytes and of the whole."""
        text = output.decimal_size(self.reclaimable, digits=4)
        if self.size > 0:
            text += f" ({int(self.reclaimable * 100 / self.size)}%)"
        return text


LISTING = Listing(
    {
        "Type": Column("TYPE", lambda row: row["kind"].name),
        "TotalCount": Column("TOTAL", lambda row: str(row["kind"].total)),
        "Active": Column("ACTIVE", lambda row: str(row["kind"].active)),
        "Size": Column("SIZE", lambda row: output.decimal_size(row["kind"].size, digits=4)),
        "Reclaimable": Column("RECLAIMABLE", lambda row: row["kind"].spare()),
    },
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)


@command()
@option("--format", default="", help="Format output using a custom template")
@flag("-v", "--verbose", help="Show detailed information on space usage")
def df(args: tuple[str, ...], format: str, verbose: bool) -> None:
    answer = remote().get("/system/df")
    if verbose:
        _details(answer, time.time())
        return
    LISTING.show([{"kind": kind} for kind in kinds(answer)], format=format)


def kinds(answer: Mapping[str, Any]) -> list[Kind]:
    """The summary's lines."""
    images, containers = answer.get("Images") or [], answer.get("Containers") or []
    volumes, layers = answer.get("Volumes") or [], answer.get("LayersSize") or 0
    used = [each for each in images if (each.get("Containers") or 0) > 0]
    needed = sum(each["Size"] - max(each.get("SharedSize") or 0, 0) for each in used)
    alive = [each for each in containers if each["State"] in ALIVE]
    written = sum(each.get("SizeRw") or 0 for each in containers)
    living = sum(each.get("SizeRw") or 0 for each in alive)
    mounted = [each for each in volumes if _links(each) > 0]
    stored, kept = (sum(_volume_size(each) for each in some) for some in (volumes, mounted))
    return [
        Kind("Images", len(images), len(used), layers, max(layers - needed, 0)),
        Kind("Containers", len(containers), len(alive), written, written - living),
        Kind("Local Volumes", len(volumes), len(mounted), stored, stored - kept),
        Kind("Build Cache", len(answer.get("BuildCache") or ()), 0, 0, 0),
    ]


def _links(volume: Mapping[str, Any]) -> int:
    return int((volume.get("UsageData") or {}).get("RefCount") or 0)


def _volume_size(volume: Mapping[str, Any]) -> int:
    return max(int((volume.get("UsageData") or {}).get("Size") or 0), 0)


def _details(answer: Mapping[str, Any], now: float) -> None:
    images = [
        row for each in answer.get("Images") or () for row in image.named(each, digests=False)
    ]
    sys.stdout.write("Images space usage:\n\n")
    shown = image.listing(now=now, full=False, digests=False)
    names = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize")
    shown._replace(default=(*names, "Containers")).show(images)
    sys.stdout.write("\nContainers space usage:\n\n")
    shown = ps.listing(now=now, full=False)
    columns = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    written = [{**each, "SizeRootFs": 0} for each in answer.get("Containers") or ()]
    shown._replace(default=columns).show(written)
    sys.stdout.write("\nLocal Volumes space usage:\n\n")
    rows = [
        [each["Name"], str(_links(each)), output.decimal_size(_volume_size(each), digits=4)]
        for each in answer.get("Volumes") or ()
    ]
    sys.stdout.write(output.table([["VOLUME NAME", "LINKS", "SIZE"], *rows]))
