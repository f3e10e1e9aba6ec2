"""Three hands on one chain: what it was planned as, what a person made of it, what it is to be.

The person's edit is kept: what the plan adds is added next to the rules that
stand beside it, what it takes away is taken away if it is still there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairlead.kernel.iptables import Tables, is_ours
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.marks import Marks
from fairlead.model.nftables import NftChain
from fairlead.model.state import Key, Resource
from fairlead.model.step import Step

INTERFACE = re.compile(r'-[io] (\S+)|"([^"]+)"')


def merged(before: Sequence[str], present: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """`present`, with the change from `before` to `after` made to it.

    One that somebody emptied is no edit, and is written as planned.
    """
    if list(before) == list(present) or not present:
        return tuple(after)
    # What a person said of a network that goes, goes with it.
    gone = _interfaces(before) - _interfaces(after)
    result = [rule for rule in present if rule in after or gone.isdisjoint(_interfaces([rule]))]
    for rule in before:
        if rule not in after and rule in result:
            result.remove(rule)
    for place, rule in enumerate(after):
        if rule not in before and rule not in result:
            result.insert(_place(result, after, place), rule)
    return tuple(result)


def _interfaces(rules: Sequence[str]) -> set[str]:
    """The interfaces that rules speak of, in the words of either program."""
    return {first or second for rule in rules for first, second in INTERFACE.findall(rule)}


def _place(result: Sequence[str], after: Sequence[str], place: int) -> int:
    """Above the next of the plan's rules that stands, or else below the one before it."""
    for rule in after[place + 1 :]:
        if rule in result:
            return result.index(rule)
    for rule in reversed(after[:place]):
        if rule in result:
            return result.index(rule) + 1
    return min(place, len(result))


def against(step: Step, tables: Tables, marks: Marks) -> Step:
    """The same step, from what really stands there."""
    item = step.resource
    assert isinstance(item, Chain | Rule | Policy)
    table = tables.get((item.family, item.table))
    chains = table.chains if table else {}
    if isinstance(item, Chain):
        present: Resource | None = None
        if item.name in chains and is_ours(marks, item.name):
            present = Chain(
                item.family, item.table, item.name, tuple(chains[item.name]), item.theirs
            )
        if item.theirs and present is not None and step.after is not None:
            return Step(step.after, step.after)
        if isinstance(step.before, Chain) and isinstance(step.after, Chain) and present:
            # Edits by hand stay: only the change itself is made to them.
            rules = merged(step.before.rules, chains[item.name], step.after.rules)
            return Step(present, replace(step.after, rules=rules))
        return Step(present, step.after)
    if isinstance(item, Rule):
        there = chains.get(item.chain, [])
        copies = there.count(item.spec)
        return Step(replace(item, copies=copies) if copies else None, step.after)
    return step


def nft_against(step: Step, there: Mapping[Key, Resource]) -> Step:
    """The same of nftables."""
    present = there.get(step.resource.key)
    before, after = step.before, step.after
    match before, present, after:
        case NftChain(), NftChain(), NftChain():
            rules = merged(before.rules, present.rules, after.rules)
            return Step(present, replace(after, rules=rules))
        case _:
            return Step(present, after)
