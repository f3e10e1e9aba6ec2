"""What is ours in iptables: resources like any other.

Rules are in the form in which ``iptables-save`` prints them, so that what was written
and what is read compare equal; the contract suite sees to that.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
Chain                 chain, family, table, name          itself
Rule                  rule, family, table, chain, spec    itself
Policy                policy, family, table, chain        never: a setting
====================  ==================================  ====================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairlead.model.state import Key, Plain, Rank

FAMILIES = {4: "ip", 6: "ip6"}
"""What the kernel's firewalls call the versions of IP."""
TABLES = frozenset({"filter", "nat", "raw", "mangle", "security"})
"""Those that iptables has, of either family."""


@dataclass(frozen=True, slots=True)
class Chain(Plain):
    """An iptables chain that is wholly ours: its rules, in order, without ``-A NAME``.

    `theirs` says that we only make it, with those rules, and that what people
    put into it afterwards is none of our business (DOCKER-USER).
    """

    family: str
    table: str
    name: str
    rules: tuple[str, ...]
    theirs: bool = False
    RANK: ClassVar[Rank] = Rank.CHAIN
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rules"})

    @property
    def key(self) -> Key:
        return ("chain", self.family, self.table, self.name)


@dataclass(frozen=True, slots=True)
class Rule(Plain):
    """One rule of ours in a chain that is not ours.

    `place` counts from 1 at the top of the chain; 0 is the bottom. `copies` says
    how often it is there: one too many is taken out.
    """

    family: str
    table: str
    chain: str
    spec: str
    place: int = 0
    copies: int = 1
    RANK: ClassVar[Rank] = Rank.RULE

    @property
    def key(self) -> Key:
        return ("rule", self.family, self.table, self.chain, self.spec)


@dataclass(frozen=True, slots=True)
class Policy(Plain):
    """What a built-in chain does with a packet that no rule judged."""

    family: str
    table: str
    chain: str
    verdict: str
    RANK: ClassVar[Rank] = Rank.POLICY
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"verdict"})
    LASTING: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return ("policy", self.family, self.table, self.chain)
