"""Where the containers are: by id, by name, and on disk."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.engine import record as records
from fairlead.engine.needs import Documents
from fairlead.engine.record import Container, Record
from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.store.sqlite import Document

KIND = "container"


class Shelf:
    """Every container of this daemon. A name belongs to one at a time."""

    def __init__(self, store: Documents) -> None:
        self._store = store
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def open(self) -> None:
        """Read what there is."""
        for record in self._store.read(KIND, records.decode).values():
            self._by_id[record.id] = Container(record)
            self._names[record.name] = record.id

    def all(self) -> list[Container]:
        """Every container, newest first."""
        return sorted(self._by_id.values(), key=lambda c: c.record.created, reverse=True)

    def every(self) -> Iterable[Container]:
        """Every container, in no order."""
        return self._by_id.values()

    def find(self, ref: str) -> Container:
        """By full id, name, or unique beginning of the id. Raises NotFound or Invalid."""
        if not ref:
            raise Invalid('invalid name or ID supplied: ""')
        name = ref.removeprefix("/")
        found = self._by_id.get(ref) or self._by_id.get(self._names.get(name, ""))
        if found is not None:
            return found
        matches = [c for id, c in self._by_id.items() if id.startswith(ref)]  # noqa: A001
        if len(matches) > 1:
            raise Invalid(f"multiple IDs found with provided prefix: {ref}")
        if not matches:
            raise NotFound(f"No such container: {ref}")
        return matches[0]

    def get(self, id: str) -> Container | None:
        """By full id."""
        return self._by_id.get(id)

    def taken(self, name: str) -> bool:
        return name in self._names

    def claim(self, name: str, id: str) -> None:
        """Give a name to a container, or raise Conflict."""
        holder = self._names.setdefault(name, id)
        if holder != id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{holder}". You have to remove (or rename) that container to be able to '
                "reuse that name."
            )

    def release(self, name: str) -> None:
        self._names.pop(name, None)

    def add(self, record: Record, *others: Document) -> Container:
        """A new container, on disk with others when this returns; its name must be claimed."""
        container = Container(record)
        self._store.write([Document(KIND, record.id, records.encode(record)), *others])
        self._by_id[record.id] = container
        return container

    def save(self, container: Container) -> None:
        """Put the container's record on disk."""
        self._store.put(KIND, container.id, records.encode(container.record))

    def drop(self, container: Container, *others: Document) -> None:
        """Forget a container, and write what changes with it, together."""
        self._store.write([Document(KIND, container.id), *others])
        self._by_id.pop(container.id, None)
        self.release(container.name)
