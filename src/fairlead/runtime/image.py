"""The images of this host.

Blobs by digest, a catalog of what they mean, and for each image that was ever
run one unpacked root (made by `rootfs`). skopeo brings images in; archives are
read here. Slow work with files is done in threads, the catalog changes only on
the loop, and blobs that no image names are cleared when nothing is coming in.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.errors import Failed, Invalid, NotFound
from fairlead.runtime import archive, changes, removal, stored
from fairlead.runtime.blobs import Blobs
from fairlead.runtime.catalog import Catalog, Entry
from fairlead.runtime.host import machine
from fairlead.runtime.pull import Progress, pull, silent
from fairlead.runtime.reference import parse
from fairlead.runtime.skopeo import Registry
from fairlead.runtime.stored import Filters, Image, Removed, Use

__all__ = ["Image", "Images", "Progress", "Removed", "Use"]

# `list` is a method below, and would be taken for the type inside the class.
Names = list[str]
Found = list[Image]
Removals = list[Removed]
Entries = list[Entry]
Objects = list[dict[str, Any]]


class Images:
    """The image store below one directory."""

    def __init__(self, root: Path) -> None:
        self.blobs = Blobs(root / "blobs")
        self.lowers = root / "roots"
        self.scratch = root / "scratch"
        self._catalog = Catalog(root / "catalog.json")
        self._incoming = 0
        self.insecure: tuple[str, ...] = ()
        """Registries that are spoken to without TLS, or with anybody's certificate."""

    async def open(self) -> None:
        """Read the catalog and drop what a crash left half done."""
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        for directory in (self.lowers, self.scratch):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.blobs.open()
        self._catalog.open()
        self._clear()

    def get(self, name: str) -> Image:
        """The image of a reference, an id or the start of one."""
        return self._image(self._catalog.find(name))

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> Found:
        """Every image that passes the filters, the newest first."""
        everything = [self._image(entry) for entry in self._catalog.entries.values()]
        return Filters(filters or {}).apply(everything, self.get, datetime.now(UTC))

    def inspect(self, name: str) -> dict[str, Any]:
        """What ``docker image inspect`` shows."""
        return stored.inspection(self.get(name))

    def history(self, name: str) -> Objects:
        """What ``docker history`` shows."""
        return stored.history(self.get(name))

    def disk_usage(self) -> int:
        """The bytes of all layers, shared ones once."""
        return sum(
            {
                layer.digest: layer.unpacked_size
                for entry in self._catalog.entries.values()
                for layer in entry.layers
            }.values()
        )

    def entry(self, image: str) -> Entry:
        """What the catalog has of an image's id."""
        return self._catalog.entries[image]

    def knows(self, image: str) -> bool:
        """Whether an id is that of an image of ours."""
        return image in self._catalog.entries

    async def pull(
        self, ref: str, auth: tuple[str, str] | None = None, progress: Progress = silent
    ) -> Image:
        """Fetch an image from its registry."""
        reference = parse(ref)
        with self.in_use():
            entry = await pull(
                reference,
                auth,
                progress,
                self.blobs,
                self.scratch,
                self._catalog,
                insecure=reference.among(self.insecure),
            )
            self._catalog.add(entry)
            self._catalog.store()
        return self._image(self._catalog.entries[entry.id])

    async def described(self, ref: str, auth: tuple[str, str] | None = None) -> dict[str, Any]:
        """What a registry has, without fetching it: ``GET /distribution/…/json``."""
        reference = parse(ref).tagged
        insecure = reference.among(self.insecure)
        return await Registry(reference, auth, insecure=insecure).described()

    async def load(self, source: Path, progress: Progress = silent) -> Names:
        """Take in every image of an archive; the answer is what to call them."""
        loop = asyncio.get_running_loop()

        def heard(diff_id: str, current: int, total: int) -> None:
            detail = {"current": current, "total": total}
            message: dict[str, object] = {
                "status": "Loading layer",
                "progressDetail": detail,
                "id": diff_id[7:19],
            }
            loop.call_soon_threadsafe(progress, message)

        def work() -> Entries:
            with archive.plain(source, self.scratch) as file:
                return archive.load(file, self.blobs, heard)

        with self.in_use():
            entries = await asyncio.to_thread(work)
            for entry in entries:
                self._catalog.add(msgspec.structs.replace(entry, tagged_at=_now()))
            self._catalog.store()
        return [
            name
            for entry in entries
            for name in [parse(tag).familiar for tag in entry.tags] or [entry.id]
        ]

    async def import_(
        self, source: Path, ref: str = "", changes_: Sequence[str] = (), message: str = ""
    ) -> str:
        """Make an image of a root file system's tar; the answer is its id."""
        reference = parse(ref).tagged if ref else None
        if reference is not None and reference.digest:
            raise Invalid("cannot import digest reference")
        config = changes.apply({}, changes_)

        def work() -> Entry:
            with archive.plain(source, self.scratch) as file:
                layer = archive.take_tar(file, self.blobs)
            now = _now()
            comment = message or "Imported from -"
            raw = msgspec.json.encode(
                {
                    "architecture": machine(),
                    "comment": comment,
                    "config": config,
                    "created": now,
                    "history": [{"created": now, "comment": comment}],
                    "os": "linux",
                    "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
                }
            )
            tags = (str(reference),) if reference else ()
            return Entry(self.blobs.put(raw), (layer,), tags, tagged_at=now if tags else "")

        with self.in_use():
            entry = await asyncio.to_thread(work)
            self._catalog.add(entry)
            self._catalog.store()
        return entry.id

    async def save(self, refs: Sequence[str], target: Path) -> None:
        """Write images into one archive that ``docker load`` reads."""
        chosen: dict[str, Names] = {}
        for name in refs:
            for entry, tags in self._named(name):
                mine = chosen.setdefault(entry.id, [])
                mine += [tag for tag in tags if tag not in mine]
        entries = [(self._catalog.entries[image], tags) for image, tags in chosen.items()]
        with self.in_use():
            await asyncio.to_thread(archive.save, entries, self.blobs, target)

    def _named(self, name: str) -> Iterator[tuple[Entry, Names]]:
        entry = None
        try:
            entry = self._catalog.find(name)
        except NotFound:
            # A bare repository means all its tags, even without a `latest`.
            if name.startswith("sha256:"):
                raise
        if entry is not None and self._catalog.is_id(name, entry):
            yield entry, []
            return
        wanted = parse(name)
        if wanted.tag or wanted.digest:
            if entry is None:
                raise NotFound(f"No such image: {wanted.familiar}")
            yield entry, [str(wanted)] if wanted.tag else []
            return
        found = False
        for each in self._catalog.entries.values():
            if tags := [tag for tag in each.tags if parse(tag).name == wanted.name]:
                found = True
                yield each, tags
        if not found:
            raise NotFound(f"No such image: {wanted.tagged.familiar}")

    async def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        entry = self._catalog.find(source)
        reference = parse(target)
        if reference.digest:
            raise Invalid("refusing to create a tag with a digest reference")
        self._catalog.tag(entry.id, reference, _now())
        self._catalog.store()

    async def remove(
        self,
        ref: str,
        *,
        force: bool = False,
        prune: bool = True,
        used_by: Callable[[str], Sequence[Use]],
    ) -> Removals:
        """Take a name away, and the image with its last name; the answer says which."""
        del prune  # No image of ours has a parent.
        entry = self._catalog.find(ref)
        uses = used_by(entry.id)
        removed = removal.remove(self._catalog, entry, ref, uses, force=force)
        self._catalog.store()
        if any(item.deleted for item in removed):
            await self._clear_away(keep_root=entry.id if uses else "")
        return removed

    async def prune(
        self,
        *,
        dangling_only: bool,
        used: Collection[str],
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[Removals, int]:
        """Remove every image that no container uses; the answer has the bytes freed."""
        before, removed = self.disk_usage(), Removals()
        wanted = {name: value for name, value in (filters or {}).items() if name != "dangling"}
        for image in self.list(wanted):
            if image.id in used or (dangling_only and image.tags):
                continue
            entry = self._catalog.entries[image.id]
            removed += removal.remove(self._catalog, entry, entry.id, (), force=True)
        if removed:
            self._catalog.store()
            await self._clear_away()
        return removed, before - self.disk_usage()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While anything comes in or goes out, blobs without an image are left alone."""
        self._incoming += 1
        try:
            yield
        finally:
            self._incoming -= 1

    async def _clear_away(self, keep_root: str = "") -> None:
        with_roots = [image for image in self.roots() if not self.knows(image)]
        for image in with_roots:
            if image != keep_root:
                await self.drop_root(image)
        if not self._incoming:
            self._clear()

    def _clear(self) -> None:
        self.blobs.keep_only(
            {
                digest
                for entry in self._catalog.entries.values()
                for digest in (entry.id, *(layer.digest for layer in entry.layers))
            }
        )

    def roots(self) -> Names:
        """The ids of the images that are unpacked."""
        return [f"sha256:{path.name}" for path in self.lowers.iterdir()]

    async def drop_root(self, image: str) -> None:
        """Remove an unpacked root."""
        # Renamed first: a root that is half gone must not be taken for a whole one.
        away = self.scratch / secrets.token_hex(8)
        try:
            os.rename(self.lowers / image[7:], away)
        except FileNotFoundError:
            return
        await asyncio.to_thread(shutil.rmtree, away)

    def _image(self, entry: Entry) -> Image:
        try:
            raw = msgspec.json.decode(self.blobs.read(entry.id))
        except FileNotFoundError as error:
            raise Failed(
                f"image {entry.id[7:19]} is damaged: its configuration is gone",
                hint="remove it and pull it again",
            ) from error
        return Image(
            id=entry.id,
            tags=tuple(parse(tag).familiar for tag in entry.tags),
            digests=tuple(parse(digest).familiar for digest in entry.digests),
            created=raw.get("created") or stored.NO_TIME,
            size_bytes=sum(layer.unpacked_size for layer in entry.layers),
            config=raw.get("config") or {},
            architecture=raw.get("architecture", ""),
            os=raw.get("os", ""),
            variant=raw.get("variant", ""),
            author=raw.get("author", ""),
            comment=raw.get("comment", ""),
            layers=tuple(raw["rootfs"]["diff_ids"] or ()),
            layer_sizes=tuple(layer.unpacked_size for layer in entry.layers),
            history=tuple(raw.get("history") or ()),
            tagged_at=entry.tagged_at,
        )


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
