"""The images we have: entries, and finding one by any of its names.

An entry is what we remember; everything else about an image is in its
configuration, the blob that its id is the digest of. The catalog is one file,
replaced as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.runtime.reference import Reference, parse

_HEX = set("0123456789abcdef")


class Layer(msgspec.Struct, frozen=True):
    """One layer as it is stored."""

    digest: str
    size: int
    unpacked_size: int
    gzip: bool


class Entry(msgspec.Struct, frozen=True):
    """One image."""

    id: str
    layers: tuple[Layer, ...]
    tags: tuple[str, ...] = ()
    """Full references with a tag."""
    digests: tuple[str, ...] = ()
    """Full references with a digest."""
    tagged_at: str = ""

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every name of the image."""
        return tuple(parse(text) for text in (*self.tags, *self.digests))


class Catalog:
    """Every entry, by id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[str, Entry] = {}

    def open(self) -> None:
        """Read the file, if there is one."""
        if self._path.exists():
            entries = msgspec.json.decode(self._path.read_bytes(), type=list[Entry])
            self.entries = {entry.id: entry for entry in entries}

    def store(self) -> None:
        """Write the file so that a crash leaves the old one or the new one."""
        fresh = self._path.with_suffix(".new")
        with open(fresh, "wb") as file:
            file.write(msgspec.json.encode(list(self.entries.values())))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)

    def find(self, name: str) -> Entry:
        """The entry of an id, the start of one, or a reference."""
        if not name:
            raise Invalid("invalid reference format")
        text = name.removeprefix("sha256:")
        if f"sha256:{text}" in self.entries:
            return self.entries[f"sha256:{text}"]
        if not name.startswith("sha256:"):
            wanted = parse(name).tagged if len(text) != 64 or not _is_hex(text) else None
            if wanted is not None and (entry := self.holder(wanted)):
                return entry
        if _is_hex(text):
            found = [entry for id_, entry in self.entries.items() if id_[7:].startswith(text)]
            if len(found) == 1:
                return found[0]
            if found:
                raise Conflict(f"image id {text} is not unique", hint="give more of it")
        shown = name if name.startswith("sha256:") or _is_hex(text) else parse(name).tagged.familiar
        raise NotFound(f"No such image: {shown}")

    def holder(self, reference: Reference) -> Entry | None:
        """The entry that has a reference."""
        wanted = reference.tagged
        exact = f"{wanted.name}@{wanted.digest}" if wanted.digest else str(wanted)
        for entry in self.entries.values():
            if exact in entry.digests or exact in entry.tags:
                return entry
        return None

    def is_id(self, name: str, entry: Entry) -> bool:
        """Whether a name that found an entry was the image's id rather than a reference."""
        text = name.removeprefix("sha256:")
        if not _is_hex(text) or not entry.id[7:].startswith(text):
            return False
        return name.startswith("sha256:") or self._not_a_reference(name)

    def _not_a_reference(self, name: str) -> bool:
        return len(name) == 64 or self.holder(parse(name)) is None

    def add(self, entry: Entry) -> None:
        """Add an entry, or merge it with what we have of the same image."""
        if known := self.entries.get(entry.id):
            entry = msgspec.structs.replace(
                entry,
                layers=known.layers,
                tags=_joined(known.tags, entry.tags),
                digests=_joined(known.digests, entry.digests),
                tagged_at=entry.tagged_at or known.tagged_at,
            )
        self._take_away(entry.tags, entry.id)
        self.entries[entry.id] = entry

    def tag(self, image: str, reference: Reference, at: str) -> None:
        """Give an image a tag, taking it from whoever had it."""
        entry = self.entries[image]
        name = str(reference.tagged)
        self._take_away((name,), image)
        self.entries[image] = msgspec.structs.replace(
            entry, tags=_joined(entry.tags, (name,)), tagged_at=at
        )

    def untag(self, image: str, reference: Reference) -> None:
        """Take a tag or digest from an image."""
        entry, name = self.entries[image], str(reference)
        self.entries[image] = msgspec.structs.replace(
            entry,
            tags=tuple(tag for tag in entry.tags if tag != name),
            digests=tuple(digest for digest in entry.digests if digest != name),
        )

    def _take_away(self, tags: Iterable[str], keeper: str) -> None:
        for name in tags:
            for id_, entry in self.entries.items():
                if id_ != keeper and name in entry.tags:
                    kept = tuple(tag for tag in entry.tags if tag != name)
                    self.entries[id_] = msgspec.structs.replace(entry, tags=kept)


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _is_hex(text: str) -> bool:
    return bool(text) and set(text) <= _HEX
