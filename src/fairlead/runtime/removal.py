"""Taking images away, with Docker's rules about who may still need them.

A name goes first; the image goes with its last name. A name whose loss would
leave a used image nameless is refused unless forced; an image that a running
container uses is never removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.model.errors import Conflict
from fairlead.runtime.catalog import Catalog, Entry
from fairlead.runtime.reference import Reference, parse
from fairlead.runtime.stored import Removed, Use


def remove(
    catalog: Catalog, entry: Entry, name: str, uses: Sequence[Use], *, force: bool
) -> list[Removed]:
    """Remove a name or an image from the catalog; the answer says what went."""
    if not catalog.is_id(name, entry):
        return _by_name(catalog, entry, parse(name).tagged, uses, force=force)
    if _single(entry.references):
        _refuse(entry, uses, force=force, many=False)
    else:
        _refuse(entry, uses, force=force, many=True)
    return _whole(catalog, entry)


def _by_name(
    catalog: Catalog, entry: Entry, name: Reference, uses: Sequence[Use], *, force: bool
) -> list[Removed]:
    short = entry.id[7:19]
    if not force and uses and _single(entry.references):
        raise Conflict(
            f'conflict: unable to remove repository reference "{name.familiar}" (must force) - '
            f"container {uses[0].container[:12]} is using its referenced image {short}",
            hint="remove the container first, or force it",
        )
    removed = [_untag(catalog, entry, name)]
    left = catalog.entries[entry.id].references
    if not name.digest and not any(r.tag and r.name == name.name for r in left):
        # The digests came with the tag and go with the repository's last one.
        removed += [_untag(catalog, entry, r) for r in left if r.name == name.name]
        left = catalog.entries[entry.id].references
    if left or any(use.running for use in uses):
        return removed
    del catalog.entries[entry.id]
    return [*removed, Removed(deleted=entry.id)]


def _whole(catalog: Catalog, entry: Entry) -> list[Removed]:
    removed = [_untag(catalog, entry, reference) for reference in entry.references]
    del catalog.entries[entry.id]
    return [*removed, Removed(deleted=entry.id)]


def _untag(catalog: Catalog, entry: Entry, name: Reference) -> Removed:
    catalog.untag(entry.id, name)
    return Removed(untagged=name.familiar)


def _single(references: Sequence[Reference]) -> bool:
    tags = [reference for reference in references if reference.tag]
    return len(tags) <= 1 and len({reference.name for reference in references}) <= 1


def _refuse(entry: Entry, uses: Sequence[Use], *, force: bool, many: bool) -> None:
    start = f"conflict: unable to delete {entry.id[7:19]}"
    for use in uses:
        if use.running:
            raise Conflict(
                f"{start} (cannot be forced) - image is being used by running container "
                f"{use.container[:12]}",
                hint="stop and remove the container first",
            )
    if force:
        return
    if many:
        raise Conflict(
            f"{start} (must be forced) - image is referenced in multiple repositories",
            hint="remove it by one of its names, or force it",
        )
    for use in uses:
        raise Conflict(
            f"{start} (must be forced) - image is being used by stopped container "
            f"{use.container[:12]}",
            hint="remove the container first, or force it",
        )
