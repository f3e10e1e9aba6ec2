"""Local volumes: directories that outlive the containers they are mounted into.

A volume is what the store says. Its record comes before its directory, which is made again at
the next start if the daemon died in between; a directory that is to go is renamed first, which
no volume's name looks like, and then its record goes.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from fairlead.engine.events import Events
from fairlead.engine.mounts import volume_name
from fairlead.engine.needs import Documents
from fairlead.model.errors import Conflict, Failed, FairleadError, Invalid, NotFound
from fairlead.store.sqlite import Document

KIND = "volume"
ANONYMOUS = "com.docker.volume.anonymous"
GONE = ".gone-"

Filters = Mapping[str, Sequence[str]]
Names = list[str]
Found = tuple[list["Volume"], list[str]]


class Volume(Struct, frozen=True, kw_only=True):
    """A volume that exists."""

    name: str
    created: datetime
    mountpoint: str
    driver: str = "local"
    scope: str = "local"
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class Volumes:
    """Every volume of this daemon."""

    def __init__(
        self,
        root: Path,
        store: Documents,
        events: Events,
        clock: Callable[[], datetime],
        users: Callable[[str], list[str]],
    ) -> None:
        self._root = root
        self._store = store
        self._events = events
        self._clock = clock
        self._volumes: dict[str, Volume] = {}
        self.users = users
        """The ids of the containers that have a volume."""

    def open(self) -> None:
        """Read what there is."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._volumes = self._store.read(KIND, msgspec.json.Decoder(Volume).decode)
        for path in self._root.glob(f"{GONE}*"):
            name = path.name.removeprefix(GONE)
            if self._volumes.pop(name, None):
                self._store.drop(KIND, name)
            shutil.rmtree(path, ignore_errors=True)
        for volume in self._volumes.values():
            _make(Path(volume.mountpoint))

    def find(self, name: str) -> Volume:
        """The volume of that name. Raises NotFound."""
        volume = self._volumes.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    def exists(self, name: str) -> bool:
        """Whether there is a volume of that name."""
        return name in self._volumes

    def list(self, filters: Filters | None = None) -> Found:
        """Volumes that fit, by name, and warnings. Raises Invalid."""
        filters = filters or {}
        for key in filters:
            if key not in ("dangling", "driver", "label", "name"):
                raise Invalid(f"invalid filter '{key}'")
        found = [v for _, v in sorted(self._volumes.items()) if self._fits(v, filters)]
        return found, []

    def _fits(self, volume: Volume, filters: Filters) -> bool:
        names = filters.get("name")
        drivers = filters.get("driver")
        dangling = filters.get("dangling")
        labels = volume.labels or {}
        return (
            (not names or any(n in volume.name for n in names))
            and (not drivers or volume.driver in drivers)
            and all(_labelled(labels, wanted) for wanted in filters.get("label", ()))
            and (not dangling or _truth("dangling", dangling) != bool(self.users(volume.name)))
        )

    async def create(
        self,
        name: str = "",
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume of that name, made if need be; a random name if none is given."""
        volume = self.draft(name, driver, options, labels)
        if not self.exists(volume.name):
            self._store.write([document(volume)])
            try:
                self.make(volume)
            except FairleadError:
                self._store.write([self.condemn(volume)])
                await self.destroy(volume)
                raise
        return volume

    def draft(
        self,
        name: str = "",
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume that there is, or would be: whoever wants it stores and makes it."""
        if driver not in ("", "local"):
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        if options:
            key = next(iter(options))
            raise Invalid(
                f'create {name}: invalid option: "{key}"',
                hint="local volumes are plain directories; use a bind mount for others",
            )
        if name in self._volumes:
            return self._volumes[name]
        given = dict(labels or {})
        if name:
            volume_name(name)
        else:
            name = secrets.token_hex(32)
            given[ANONYMOUS] = ""
        directory = self._root / name / "_data"
        return Volume(
            name=name, created=self._clock(), mountpoint=str(directory), labels=given or None
        )

    def make(self, volume: Volume) -> None:
        """Make a volume that is in the store."""
        try:
            _make(Path(volume.mountpoint))
        except OSError as error:
            raise Failed(
                f"create {volume.name}: error while creating volume root path "
                f"'{volume.mountpoint}': {error.strerror}",
                hint="is the disk full or mounted read-only?",
            ) from error
        self._volumes[volume.name] = volume
        self._events.emit("volume", "create", volume.name, {"driver": volume.driver})

    async def remove(self, name: str, force: bool = False) -> None:
        """Remove a volume that no container has. Raises NotFound or Conflict."""
        if force and name not in self._volumes:
            return
        volume = self.find(name)
        users = self.users(name)
        if users:
            raise Conflict(
                f"remove {name}: volume is in use - [{', '.join(users)}]",
                hint="remove those containers first",
            )
        self._store.write([self.condemn(volume)])
        await self.destroy(volume)

    def condemn(self, volume: Volume) -> Document:
        """Let a volume's content go, if it has any; what to write for it to be gone."""
        with suppress(FileNotFoundError):
            (self._root / volume.name).rename(self._root / f"{GONE}{volume.name}")
        return Document(KIND, volume.name)

    async def destroy(self, volume: Volume) -> None:
        """Free the space of a volume that was condemned and is not in the store any more."""
        known = self._volumes.pop(volume.name, None)
        await asyncio.to_thread(shutil.rmtree, self._root / f"{GONE}{volume.name}", True)
        if known is not None:
            self._events.emit("volume", "destroy", volume.name, {"driver": volume.driver})

    async def prune(self, filters: Filters | None = None) -> tuple[Names, int]:
        """Remove unused volumes, anonymous ones unless ``all``: their names, and bytes freed."""
        filters = dict(filters or {})
        everything = _truth("all", filters.pop("all", ("false",)))
        for key in filters:
            if key not in ("label", "label!"):
                raise Invalid(f"invalid filter '{key}'")
        removed, freed = [], 0
        for volume in list(self._volumes.values()):
            labels = volume.labels or {}
            spared = any(_labelled(labels, wanted) for wanted in filters.get("label!", ()))
            wanted = all(_labelled(labels, wanted) for wanted in filters.get("label", ()))
            unused = not self.users(volume.name)
            if unused and wanted and not spared and (everything or volume.anonymous):
                freed += await self.size(volume.name)
                await self.remove(volume.name)
                removed.append(volume.name)
        self._events.emit("volume", "prune", "", {"reclaimed": str(freed)})
        return removed, freed

    async def size(self, name: str) -> int:
        """The bytes in a volume."""
        return await asyncio.to_thread(_size, self.find(name).mountpoint)


def document(volume: Volume) -> Document:
    """A volume as it is stored."""
    return Document(KIND, volume.name, msgspec.json.encode(volume))


def _make(directory: Path) -> None:
    # mkdir's mode would be cut by the umask; one that is there is the user's own by now.
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.parent.chmod(0o701)
        directory.chmod(0o755)


def _size(root: str) -> int:
    total = 0
    for directory, _, files in os.walk(root):
        for file in files:
            try:
                total += os.lstat(os.path.join(directory, file)).st_size
            except FileNotFoundError:
                # Gone since the directory was read.
                continue
    return total


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _truth(key: str, values: Sequence[str]) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    found = {known.get(value) for value in values}
    if len(found) != 1 or None in found:
        raise Invalid(
            f'invalid value for filter \'{key}\', must be "true" (or "1"), or "false" (or "0")'
        )
    return bool(found.pop())
