"""`fairlead volume`: list, create, remove, prune."""

from __future__ import annotations

import sys

from fairlead.cli import output
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.listing import Column, Listing, filter_pair, filters, label_of, labelled
from fairlead.cli.prompt import confirmed
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each
from fairlead.cli.values import pair

LISTING = Listing(
    {
        "Driver": Column("DRIVER", lambda row: row["Driver"]),
        "Name": Column("VOLUME NAME", lambda row: row["Name"]),
        "Scope": Column("SCOPE", lambda row: row.get("Scope") or ""),
        "Mountpoint": Column("MOUNTPOINT", lambda row: row.get("Mountpoint") or ""),
        "Label": Column("LABEL", label_of),
        "Labels": Column("LABELS", labelled),
    },
    ("Driver", "Name"),
    quiet="Name",
)


@command()
@option("-f", "--filter", many=True, parse=filter_pair, help="Provide filter values")
@option("--format", default="", help="Format output using a custom template")
@flag("-q", "--quiet", help="Only display volume names")
def ls(
    args: tuple[str, ...],
    filter: tuple[tuple[str, str], ...],
    format: str,
    quiet: bool,
) -> None:
    volumes = remote().get("/volumes", filters=filters(filter)).get("Volumes") or []
    volumes.sort(key=lambda row: row["Name"])
    LISTING.show(volumes, quiet=quiet, format=format)


@command("[VOLUME]", least=0, most=1)
@option("-d", "--driver", default="local", help='Specify volume driver name (default "local")')
@option("--label", many=True, parse=pair, help="Set metadata for a volume")
@option("--name", default="", hidden=True)
@option("-o", "--opt", many=True, parse=pair, help="Set driver specific options")
def create(
    args: tuple[str, ...],
    driver: str,
    label: tuple[tuple[str, str], ...],
    name: str,
    opt: tuple[tuple[str, str], ...],
) -> None:
    if args and name:
        raise Refused(
            "conflicting options: cannot specify a volume name through both --name and "
            "as a positional arg"
        )
    body = {
        "Name": args[0] if args else name,
        "Driver": driver,
        "DriverOpts": dict(opt),
        "Labels": dict(label),
    }
    sys.stdout.write(remote().post("/volumes/create", body)["Name"] + "\n")


@command("VOLUME [VOLUME...]", least=1, most=None)
@flag("-f", "--force", help="Force the removal of one or more volumes")
def rm(args: tuple[str, ...], force: bool) -> int:
    daemon = remote()

    def one(ref: str) -> str:
        daemon.delete(f"/volumes/{name(ref)}", force=1 if force else None)
        return ref

    return each(args, one)


@command()
@flag("-a", "--all", help="Remove all unused volumes, not just anonymous ones")
@flag("-f", "--force", help="Do not prompt for confirmation")
@option("--filter", many=True, parse=filter_pair, help='Provide filter values ("label=<label>")')
def prune(
    args: tuple[str, ...],
    all: bool,
    force: bool,
    filter: tuple[tuple[str, str], ...],
) -> None:
    kind = "all" if all else "anonymous"
    warning = f"This will remove {kind} local volumes not used by at least one container."
    if not force and not confirmed(warning):
        return
    wanted = [*filter, ("all", "true")] if all else filter
    answer = remote().post("/volumes/prune", filters=filters(wanted))
    gone = answer.get("VolumesDeleted") or ()
    if gone:
        sys.stdout.write("".join(["Deleted Volumes:\n", *(f"{each}\n" for each in gone), "\n"]))
    size = output.decimal_size(answer.get("SpaceReclaimed") or 0, digits=4)
    sys.stdout.write(f"Total reclaimed space: {size}\n")
