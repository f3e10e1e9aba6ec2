"""Removing iptables rules quickly: by their handles, through libnftables, in process.

An iptables-restore that deletes anything waits 14 ms and more for an RCU grace
period when its socket closes. Where iptables is the nf_tables kind, its rules
are nftables rules, and a kept socket deletes them in a fraction of a
millisecond. Which rule has which handle follows from its place: both programs
list a chain in the kernel's order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from fairlead.kernel.iptables import Iptables, Table, Tables, insertions
from fairlead.kernel.nft import Context
from fairlead.model.errors import Failed
from fairlead.model.state import Chain, Rule, Step

CHAIN = re.compile(r"^\s*chain (\S+) \{ # handle (\d+)$", re.MULTILINE)
HANDLE = re.compile(r"# handle (\d+)$")

Handles = dict[str, list[str]]
"""The handles of a chain's rules, in order, by the chain's name."""


def only_removes(step: Step) -> bool:
    """Whether nothing comes with this step: a rule or chain goes, or a chain loses rules."""
    before, after = step.before, step.after
    if after is None:
        return isinstance(before, Chain | Rule)
    if not isinstance(before, Chain) or not isinstance(after, Chain):
        return False
    return insertions(after.rules, before.rules) is not None


class Remover:
    """Removes rules and chains of ours; says no when it cannot, and then nothing has changed."""

    def __init__(self, iptables: Iptables) -> None:
        self._iptables = iptables
        self._nft = Context(handles=True)

    def close(self) -> None:
        self._nft.close()

    @cached_property
    def usable(self) -> bool:
        """Whether iptables' rules are nftables' here."""
        return "nf_tables" in self._iptables.version()

    def remove(self, steps: Sequence[Step]) -> bool:
        """Take steps that only remove, in one transaction. False: do it another way."""
        if not self.usable or not steps or not all(only_removes(step) for step in steps):
            return False
        tables = self._iptables.save()
        listed: dict[tuple[str, str], Handles] = {}
        try:
            commands: list[str] = []
            for step in steps:
                item = step.resource
                assert isinstance(item, Chain | Rule)
                place = (item.family, item.table)
                if place not in listed and place in tables:
                    listed[place] = handles(self._nft.run(f"list table {' '.join(place)}"))
                commands += _commands(step, tables, listed.get(place, {}))
            # Chains can go when no rule is left that jumps to them.
            commands.sort(key=lambda command: command.startswith("delete chain"))
            if commands:
                self._nft.run("\n".join(commands))
        except (Failed, _Surprise):
            return False
        return True


class _Surprise(Exception):
    """The two listings do not agree, or a rule is not where it should be."""


def handles(listing: str) -> Handles:
    """The handles in nft's listing of a table."""
    found: Handles = {}
    rules: list[str] = []
    for line in listing.splitlines():
        chain = CHAIN.match(line)
        handle = HANDLE.search(line)
        if chain:
            rules = found.setdefault(chain[1], [])
        elif handle and not line.startswith("table "):
            rules.append(handle[1])
    return found


def _commands(step: Step, tables: Tables, found: Handles) -> Iterator[str]:
    item = step.resource
    assert isinstance(item, Chain | Rule)
    table = tables.get((item.family, item.table), Table())
    where = f"{item.family} {item.table}"
    if isinstance(item, Rule):
        if item.spec in table.chains.get(item.chain, []):
            index = table.chains[item.chain].index(item.spec)
            yield from _delete(where, item.chain, [index], table, found)
        return
    if item.name not in table.chains:
        if step.after is not None:
            raise _Surprise
        return
    if step.after is None:
        yield f"flush chain {where} {item.name}"
        yield f"delete chain {where} {item.name}"
        return
    assert isinstance(step.before, Chain)
    assert isinstance(step.after, Chain)
    gone = [place - 1 for place, _ in insertions(step.after.rules, step.before.rules) or ()]
    if len(table.chains[item.name]) != len(step.before.rules):
        raise _Surprise
    yield from _delete(where, item.name, gone, table, found)


def _delete(
    where: str, chain: str, places: Sequence[int], table: Table, found: Handles
) -> Iterator[str]:
    if len(found.get(chain, [])) != len(table.chains[chain]):
        raise _Surprise
    for place in places:
        yield f"delete rule {where} {chain} handle {found[chain][place]}"
