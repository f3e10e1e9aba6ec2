"""Who lives in whose sandbox: containers that share the network of another.

The namespace is ours, pinned, and stands for as long as anybody is in it. When
its owner ends while others are left, only the cables go; when the owner starts
again they are plugged into the very same namespace, and the others see the
network again. The last one out closes it, whoever that is.

Chains need no thought: a container that shares with one that shares is in the
sandbox of the first.
"""

from __future__ import annotations

from collections.abc import Collection

from fairlead.engine import record as records
from fairlead.engine.needs import Documents
from fairlead.engine.record import Container
from fairlead.engine.shelf import KIND, Shelf


def shared(shelf: Shelf, sandbox: str) -> bool:
    """Whether others than its owner live in a sandbox."""
    return any(c.standing and c.record.shares == sandbox for c in shelf.every())


def owner(shelf: Shelf, sandbox: str) -> Container | None:
    """The container whose sandbox it is, if there still is one."""
    return next((c for c in shelf.every() if sandbox and c.sandbox == sandbox), None)


def abandoned(shelf: Shelf, sandbox: str) -> bool:
    """Whether nobody lives in a sandbox any more."""
    master = owner(shelf, sandbox)
    return not shared(shelf, sandbox) and (master is None or not master.standing)


def lived_in(store: Documents, alive: Collection[str]) -> set[str]:
    """The sandboxes that living containers share, before there is an engine to ask."""
    found = store.read(KIND, records.decode).values()
    return {record.shares for record in found if record.shares and record.id in alive}
