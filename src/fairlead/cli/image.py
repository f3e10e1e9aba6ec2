"""Images at rest: list, remove, tag, history, prune."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fairlead.cli import output
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.listing import Column, Listing, filter_pair, filters
from fairlead.cli.prompt import confirmed
from fairlead.cli.remote import image_name, remote
from fairlead.cli.several import each
from fairlead.cli.transfer import tagged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NONE = "<none>"
Filters = tuple[tuple[str, str], ...]


@command("[REPOSITORY[:TAG]]", least=0, most=1)
@flag("-a", "--all", help="Show all images (default hides intermediate images)")
@flag("--digests", help="Show digests")
@option("-f", "--filter", many=True, parse=filter_pair, help="Filter output based on conditions")
@option("--format", default="", help="Format output using a custom template")
@flag("--no-trunc", help="Don't truncate output")
@flag("-q", "--quiet", help="Only show image IDs")
def images(args: tuple[str, ...], **flags: Any) -> None:
    wanted = [*flags["filter"], *(("reference", each) for each in args)]
    found = remote().get("/images/json", all=1 if flags["all"] else None, filters=filters(wanted))
    digests = flags["digests"] or ".Digest" in flags["format"]
    rows = [row for image in found or () for row in named(image, digests=digests)]
    shown = listing(now=time.time(), full=flags["no_trunc"], digests=flags["digests"])
    shown.show(rows, quiet=flags["quiet"], format=flags["format"])


def named(image: Mapping[str, Any], *, digests: bool) -> Iterator[dict[str, Any]]:
    """One row a name of the image; a nameless one has one row."""
    tags = [tagged(tag) for tag in image.get("RepoTags") or () if tag != f"{NONE}:{NONE}"]
    known: dict[str, list[str]] = {}
    for reference in image.get("RepoDigests") or ():
        repository, _, digest = reference.partition("@")
        if repository != NONE:
            known.setdefault(repository, []).append(digest)
    rows = [
        (repository, tag, digest)
        for repository, tag in tags
        for digest in (known.get(repository, [NONE]) if digests else [NONE])
    ]
    untagged = known.keys() - {repository for repository, _ in tags}
    for repository in sorted(untagged):
        rows += [
            (repository, NONE, digest) for digest in known[repository][: None if digests else 1]
        ]
    for repository, tag, digest in rows or [(NONE, NONE, NONE)]:
        yield {**image, "Repository": repository, "Tag": tag, "Digest": digest}


def listing(*, now: float, full: bool, digests: bool) -> Listing:
    """What `images` can show."""

    def identity(row: Mapping[str, Any]) -> str:
        return str(row["Id"]) if full else output.short_id(row["Id"])

    def ago(row: Mapping[str, Any]) -> str:
        return output.lasted(now - row["Created"]) + " ago"

    def size(row: Mapping[str, Any]) -> str:
        return output.decimal_size(row.get("Size") or 0)

    def used_by(row: Mapping[str, Any]) -> str:
        count = row.get("Containers")
        return "N/A" if count is None or count < 0 else str(count)

    columns = {
        "Repository": Column("REPOSITORY", lambda row: row["Repository"]),
        "Tag": Column("TAG", lambda row: row["Tag"]),
        "Digest": Column("DIGEST", lambda row: row["Digest"]),
        "ID": Column("IMAGE ID", identity),
        "CreatedSince": Column("CREATED", ago),
        "CreatedAt": Column("CREATED AT", lambda row: output.moment(row["Created"])),
        "Size": Column("SIZE", size),
        "VirtualSize": Column("SIZE", size),
        "SharedSize": Column("SHARED SIZE", lambda row: _known(row.get("SharedSize"))),
        "UniqueSize": Column("UNIQUE SIZE", _unique),
        "Containers": Column("CONTAINERS", used_by),
    }
    middle = ("Digest",) if digests else ()
    return Listing(columns, ("Repository", "Tag", *middle, "ID", "CreatedSince", "Size"))


def _known(size: int | None) -> str:
    return "N/A" if size is None or size < 0 else output.decimal_size(size)


def _unique(row: Mapping[str, Any]) -> str:
    shared = row.get("SharedSize")
    if shared is None or shared < 0:
        return "N/A"
    return output.decimal_size((row.get("Size") or 0) - shared, digits=4)


@command("IMAGE [IMAGE...]", least=1, most=None)
@flag("-f", "--force", help="Force removal of the image")
@flag("--no-prune", help="Do not delete untagged parents")
def rmi(args: tuple[str, ...], force: bool, no_prune: bool) -> int:
    daemon = remote()

    def one(ref: str) -> str | None:
        gone = daemon.delete(
            f"/images/{image_name(ref)}",
            force=1 if force else None,
            noprune=1 if no_prune else None,
        )
        return "\n".join(_removals(gone or ())) or None

    return each(args, one, forgive_missing=force)


def _removals(gone: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"Deleted: {each['Deleted']}" if each.get("Deleted") else f"Untagged: {each['Untagged']}"
        for each in gone
    ]


@command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2)
def tag(args: tuple[str, ...]) -> None:
    source, target = args
    repository, label = tagged(target)
    if "@" in target:
        raise Refused("refusing to create a tag with a digest reference")
    remote().post(f"/images/{image_name(source)}/tag", repo=repository, tag=label or "latest")


@command("IMAGE", least=1, most=1)
@flag("-H", "--human", default=True, help="Print sizes and dates in human readable format")
@flag("--no-trunc", help="Don't truncate output")
@flag("-q", "--quiet", help="Only show image IDs")
@option("--format", default="", help="Format output using a custom template")
def history(args: tuple[str, ...], human: bool, no_trunc: bool, quiet: bool, format: str) -> None:
    rows = remote().get(f"/images/{image_name(args[0])}/history") or []
    now = time.time()

    def identity(row: Mapping[str, Any]) -> str:
        return str(row["Id"]) if no_trunc else output.short_id(row["Id"])

    def ago(row: Mapping[str, Any]) -> str:
        return output.lasted(now - row["Created"]) + " ago"

    def made_by(row: Mapping[str, Any]) -> str:
        text = str(row["CreatedBy"]).replace("\t", " ")
        return text if no_trunc else output.shortened(text, 45)

    def size(row: Mapping[str, Any]) -> str:
        return output.decimal_size(row["Size"]) if human else str(row["Size"])

    columns = {
        "ID": Column("IMAGE", identity),
        "CreatedSince": Column("CREATED", ago),
        "CreatedAt": Column("CREATED AT", lambda row: output.utc(row["Created"])),
        "CreatedBy": Column("CREATED BY", made_by),
        "Size": Column("SIZE", size),
        "Comment": Column("COMMENT", lambda row: row.get("Comment") or ""),
    }
    created = "CreatedSince" if human else "CreatedAt"
    default = ("ID", created, "CreatedBy", "Size", "Comment")
    Listing(columns, default).show(rows, quiet=quiet, format=format)


@command()
@flag("-a", "--all", help="Remove all unused images, not just dangling ones")
@flag("-f", "--force", help="Do not prompt for confirmation")
@option(
    "--filter", many=True, parse=filter_pair, help='Provide filter values ("until=<timestamp>")'
)
def prune(args: tuple[str, ...], all: bool, force: bool, filter: Filters) -> None:
    what = "images without at least one container associated to them" if all else "dangling images"
    if not force and not confirmed(f"This will remove all {what}."):
        return
    wanted = [*filter, ("dangling", "false" if all else "true")]
    answer = remote().post("/images/prune", filters=filters(wanted))
    gone = answer.get("ImagesDeleted") or ()
    if gone:
        lines = (f"{line}\n" for line in _prunings(gone))
        sys.stdout.write("".join(["Deleted Images:\n", *lines, "\n"]))
    size = output.decimal_size(answer.get("SpaceReclaimed") or 0, digits=4)
    sys.stdout.write(f"Total reclaimed space: {size}\n")


def _prunings(gone: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"untagged: {each['Untagged']}" if each.get("Untagged") else f"deleted: {each['Deleted']}"
        for each in gone
    ]
