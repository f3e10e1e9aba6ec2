"""Lookup: which table of routes is asked for packets from an address.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
Lookup                from, namespace, address            its namespace
====================  ==================================  ====================

It outlives the address and the link that has it: Linux does not know that they belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fairlead.model.state import IPAddress, Key, Plain, Rank, inside

TABLES = 0x66 << 16
"""Ours are numbered from here on, where nobody else counts."""


@dataclass(frozen=True, slots=True)
class Lookup(Plain):
    """Packets from an address go by this table, and by the main one if that knows no way.

    `link` is the interface that has the address.
    """

    namespace: str
    source: IPAddress
    table: int
    link: str = field(default="", compare=False)
    RANK: ClassVar[Rank] = Rank.ROUTE

    @property
    def key(self) -> Key:
        return ("from", self.namespace, str(self.source))

    @property
    def needs(self) -> tuple[Key, ...]:
        return inside(self.namespace)


def is_ours(table: int) -> bool:
    """Whether a table is one of those that we count."""
    return TABLES < table < TABLES + (1 << 16)
