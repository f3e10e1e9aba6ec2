"""Rules above the last one of a chain, where iptables reads the chain to find the place.

The isolation chains have a line for each network and end with a RETURN, and people
know them that way. The kernel can be told to put a rule above another that it knows by
a number, its handle; that of the last rule is looked up once. Whatever is not a plain
line about interfaces, and whatever the kernel refuses here, iptables-restore does.
Rules that only go (`strike`) go in the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairlead.kernel import nftnetlink as nft
from fairlead.kernel import strike
from fairlead.kernel.iptables import insertions
from fairlead.kernel.netlink import Message, Socket
from fairlead.model.iptables import Chain
from fairlead.model.state import Key
from fairlead.model.step import Step

PLAIN = re.compile(
    r"(?:-i (?P<from>[\w.-]{1,15}) )?(?P<other>! )?-o (?P<to>[\w.-]{1,15}) "
    r"-j (?!RETURN$)(?P<target>[\w.-]{1,28})"
)
ENDS = {"DROP": nft.NF_DROP, "ACCEPT": nft.NF_ACCEPT}
LEAST = 16
"""Chains shorter than this are read as quickly."""


class Above:
    """Puts plain rules above the last one of their chain, and takes any out."""

    def __init__(self, netlink: Socket) -> None:
        self._netlink = netlink
        self._strike = strike.Strike(netlink)
        self._last: dict[Key, int] = {}

    def forget(self) -> None:
        """Chains may have been written anew: the last rules are others now."""
        self._last.clear()
        self._strike.forget()

    def take(self, steps: Sequence[Step]) -> bool:
        """Take steps that `fits` says fit, in one transaction; whether the kernel did."""
        for _ in range(2):
            try:
                nft.transact(self._netlink, [m for step in steps for m in self._messages(step)])
            except (nft.Refusal, OSError, LookupError):
                # The last rule is another by now, or this is not the kernel's nf_tables.
                self.forget()
                continue
            return True
        return False

    def _messages(self, step: Step) -> list[Message]:
        chain = step.after
        assert isinstance(chain, Chain)
        if not added(step):
            return self._strike.messages(step)
        if chain.key not in self._last:
            self._last[chain.key] = strike.handle(strike.listed(self._netlink, chain)[-1])
        return [
            nft.insert_rule(
                chain.family, chain.table, chain.name, expressions(rule), self._last[chain.key]
            )
            for rule in added(step)
        ]


def fits(step: Step) -> bool:
    """Whether a step only puts plain rules above the last one of a long chain, or takes any out."""
    chains = [chain for chain in (step.before, step.after) if isinstance(chain, Chain)]
    long = any(len(chain.rules) > LEAST for chain in chains)
    return long and bool(added(step) or strike.struck(step))


def added(step: Step) -> tuple[str, ...]:
    """The rules that a step puts above the last one; none if it does anything else."""
    before, after = step.before, step.after
    if not isinstance(before, Chain) or not isinstance(after, Chain):
        return ()
    count = len(after.rules) - len(before.rules)
    start = len(before.rules) - 1
    if count < 1 or start < 0 or insertions(before.rules, after.rules) is None:
        return ()
    rules = after.rules[start : start + count]
    kept = after.rules[:start] == before.rules[:start] and after.rules[-1] == before.rules[-1]
    return rules if kept and all(PLAIN.fullmatch(rule) for rule in rules) else ()


def expressions(rule: str) -> list[bytes]:
    """A plain rule as iptables would write it."""
    found = PLAIN.fullmatch(rule)
    assert found is not None
    came = nft.interface(nft.META_IIFNAME, found["from"]) if found["from"] else ()
    goes = nft.interface(nft.META_OIFNAME, found["to"], other=bool(found["other"]))
    code = ENDS.get(found["target"], nft.NFT_JUMP)
    chain = "" if found["target"] in ENDS else found["target"]
    return [*came, *goes, nft.counter(), nft.end(code, chain)]
