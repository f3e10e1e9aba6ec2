"""Rules above the last one of a chain, where iptables reads the chain to find the place.

The isolation chains have a line for each network and end with a RETURN, and people
know them that way. The kernel can be told to put a rule above another that it knows by
a number, its handle; that of the last rule is looked up once. Whatever is not a plain
line about interfaces, and whatever the kernel refuses here, iptables-restore does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairlead.kernel import nftnetlink as nft
from fairlead.kernel.iptables import insertions
from fairlead.kernel.netlink import Message, Socket, attributes, text
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
    """Puts plain rules above the last one of their chain."""

    def __init__(self, netlink: Socket) -> None:
        self._netlink = netlink
        self._last: dict[Key, int] = {}

    def forget(self) -> None:
        """Chains may have been written anew: the last rules are others now."""
        self._last.clear()

    def take(self, steps: Sequence[Step]) -> bool:
        """Take steps that `fits` says fit, in one transaction; whether the kernel did."""
        for known in (True, False):
            if not known:
                self._last.clear()
            try:
                nft.transact(self._netlink, [m for step in steps for m in self._messages(step)])
            except (nft.Refusal, OSError, LookupError):
                # The last rule is another by now, or this is not the kernel's nf_tables.
                continue
            return True
        return False

    def _messages(self, step: Step) -> list[Message]:
        chain = step.after
        assert isinstance(chain, Chain)
        if chain.key not in self._last:
            self._last[chain.key] = self._handle(chain)
        return [
            nft.insert_rule(
                chain.family, chain.table, chain.name, expressions(rule), self._last[chain.key]
            )
            for rule in added(step)
        ]

    def _handle(self, chain: Chain) -> int:
        body = nft.header(chain.family) + text(nft.NFTA_RULE_TABLE, chain.table)
        rows = self._netlink.dump(nft.NFT_MSG_GETRULE, body + text(nft.NFTA_RULE_CHAIN, chain.name))
        _, last = rows[-1]
        found = attributes(last, nft.GENERAL.size)
        return int.from_bytes(found[nft.NFTA_RULE_HANDLE])


def fits(step: Step) -> bool:
    """Whether a step only puts plain rules above the last one of a long chain."""
    return isinstance(step.after, Chain) and len(step.after.rules) > LEAST and bool(added(step))


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
