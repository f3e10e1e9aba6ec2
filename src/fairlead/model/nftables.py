"""What an nftables table of ours is made of: resources like any other.

Texts are in the form in which ``nft list table`` prints them, so that what was
written and what is read compare equal; the contract suite sees to that.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
NftTable              nft, family, name                   itself
NftSet, NftChain      nft-set | nft-chain, …, name        its table
NftElement            nft-element, …, set, key            its set
====================  ==================================  ====================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairlead.model.state import Key, Plain, Rank


@dataclass(frozen=True, slots=True)
class NftTable(Plain):
    """A table; `comment` says whose it is."""

    family: str
    name: str
    comment: str
    RANK: ClassVar[Rank] = Rank.TABLE

    @property
    def key(self) -> Key:
        return ("nft", self.family, self.name)


class _InTable(Plain):
    """Something that stands in a table."""

    __slots__ = ()
    family: str
    table: str

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("nft", self.family, self.table),)


@dataclass(frozen=True, slots=True)
class NftSet(_InTable):
    """A named set or map, empty. `kind` is which; `spec` its type and flags."""

    family: str
    table: str
    name: str
    kind: str
    spec: str
    RANK: ClassVar[Rank] = Rank.SET

    @property
    def key(self) -> Key:
        return ("nft-set", self.family, self.table, self.name)


@dataclass(frozen=True, slots=True)
class NftChain(_InTable):
    """A chain and its rules in order. `hook` is where the kernel calls it, if it does by itself."""

    family: str
    table: str
    name: str
    rules: tuple[str, ...]
    hook: str = ""
    RANK: ClassVar[Rank] = Rank.SET
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rules"})

    @property
    def key(self) -> Key:
        return ("nft-chain", self.family, self.table, self.name)


@dataclass(frozen=True, slots=True)
class NftElement(Plain):
    """An element of a set, or of a map with its value."""

    family: str
    table: str
    set: str
    item: str
    value: str = ""
    RANK: ClassVar[Rank] = Rank.ELEMENT
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"value"})

    @property
    def key(self) -> Key:
        return ("nft-element", self.family, self.table, self.set, self.item)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("nft-set", self.family, self.table, self.set),)
