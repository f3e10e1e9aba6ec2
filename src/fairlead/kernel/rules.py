"""The host's rules, of both programs: read, written, and watched over for other hands.

Before a change is written, the count of generations says whether somebody else
wrote since all was as planned. If so, the change is said from what stands.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from fairlead.kernel import older
from fairlead.kernel.above import Above, fits
from fairlead.kernel.errors import Refused
from fairlead.kernel.generation import Generation
from fairlead.kernel.iptables import SAVE, Half, Iptables, render
from fairlead.kernel.merge import against, nft_against
from fairlead.kernel.netlink import Socket
from fairlead.kernel.nftables import Nftables, parts
from fairlead.model.errors import Failed
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.marks import Marks
from fairlead.model.packet import PROBE_TABLE
from fairlead.model.state import Key
from fairlead.model.step import Step

BY_IPTABLES = ("ip", "ip6", "arp", "bridge")
TABLES = ("filter", "nat", "raw", "mangle", "security", "broute")


class Rules:
    """iptables and nftables in the namespace in which they are first used."""

    def __init__(self, marks: Marks, netfilter: Socket) -> None:
        self.marks = marks
        self.generation = Generation(netfilter)
        self._above = Above(netfilter)
        self.iptables = Iptables(("ip", "ip6"))
        self.nftables = Nftables(marks.table, marks.alias, netfilter)

    def close(self) -> None:
        self.iptables.close()
        self.nftables.close()

    def sizes(self) -> dict[tuple[str, str, str], int]:
        """How many rules each chain of iptables has, whoever made them."""
        return {
            (family, name, chain): len(rules)
            for (family, name), table in self.iptables.save().items()
            for chain, rules in table.chains.items()
        }

    def are_told_of(self) -> bool:
        """Whether the kernel tells which of our rules a packet meets, which older iptables hide."""
        tables = self.iptables.save().values() if older.is_older(SAVE["ip"]) else ()
        return not any(self.marks.chain in table.chains for table in tables)

    def others(self) -> str:
        """The tables of nftables that are neither ours nor made by iptables, as it lists them."""
        run, text = self.nftables.run, ""
        for line in run("list tables").splitlines():
            _, family, name = line.split()
            made = family in BY_IPTABLES and name in TABLES
            if not made and name not in (self.marks.table, PROBE_TABLE):
                text += run(f"list table {family} {name}")
        return text

    def write_iptables(self, steps: Sequence[Step]) -> None:
        """Take steps in one restore a family. Raises Refused."""
        if self.generation.edited:
            self._above.forget()
            steps = self._as_it_stands(steps)
        try:
            self._restore(steps)
        except Half as first:
            # A rule or chain was not as the plan took it to be. Look, and say it from there.
            try:
                self._restore(self._as_it_stands(steps))
            except Half as error:
                written = first.tables | error.tables
                taken = tuple(step for step in steps if _table(step) in written)
                step = next(step for step in steps if step not in taken)
                raise Refused(step, errno.EINVAL, taken, str(error), error.hint) from error

    def write_nftables(self, steps: Sequence[Step]) -> None:
        """Take steps as one transaction. Raises Refused."""
        planned = steps
        if self.generation.edited:
            there = self.nftables.observe()
            gone = {step.resource.key for step in steps if step.after is None}
            found = [
                step if step.after and step.resource.key in gone else nft_against(step, there)
                for step in steps
            ]
            planned = [step for step in found if step.before != step.after]
        try:
            with self.generation.writing(len(parts(planned))):
                self.nftables.apply(planned)
        except Failed as error:
            raise Refused(steps[0], errno.EINVAL, (), str(error), error.hint) from error

    def _as_it_stands(self, steps: Sequence[Step]) -> list[Step]:
        tables = self.iptables.save()
        gone: set[Key] = set()
        found: list[Step] = []
        for step in steps:
            if step.after is None:
                gone.add(step.resource.key)
            # What goes earlier in the same change is not there when it comes again.
            again = step.after is not None and step.resource.key in gone
            found.append(step if again else against(step, tables, self.marks))
        return [step for step in found if step.before != step.after]

    def _restore(self, steps: Sequence[Step]) -> None:
        quick = [step for step in steps if fits(step)]
        if quick:
            with self.generation.writing(1):
                taken = self._above.take(quick)
            if taken:
                steps = [step for step in steps if step not in quick]
        else:
            taken = False
        try:
            self._restore_only(steps)
        except Half as half:
            back = [step.undo() for step in quick if taken and _table(step) not in half.tables]
            if back:
                self._restore_only(back)
            raise

    def _restore_only(self, steps: Sequence[Step]) -> None:
        texts = render(steps)
        if any("\n:" in text for text in texts.values()):
            self._above.forget()
        with self.generation.writing(len(texts)):
            self.iptables.restore(texts)


def _table(step: Step) -> tuple[str, str]:
    assert isinstance(step.resource, Chain | Rule | Policy)
    return step.resource.family, step.resource.table
