"""Rules that go from a long chain: by number, which the kernel finds at once.

iptables-restore reads a chain and compares each rule of it with the one that is to go,
which among a thousand networks takes it longer than all else. A plan knows the places of
what goes; the rules there are looked up, and it is by their numbers that they are deleted,
so it cannot be others that go. What does not look as planned iptables-restore does.
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

INTERFACE = re.compile(r"-[io] ([^\s+]+)")


def struck(step: Step) -> tuple[int, ...]:
    """The places, from 0, of the rules that a step takes out; none if it does anything else."""
    before, after = step.before, step.after
    if not isinstance(before, Chain) or not isinstance(after, Chain):
        return ()
    back = insertions(after.rules, before.rules)
    return tuple(place - 1 for place, _ in back or ())


class Strike:
    """Takes rules out of chains.

    It knows the numbers of the rules that it left where it took some, for when others of them
    go: a dump of a thousand takes the kernel longer than their end. Numbers are given once, so
    those that are of another time are refused; `forget` is for when somebody else wrote.
    """

    def __init__(self, netlink: Socket) -> None:
        self._netlink = netlink
        self._left: dict[Key, tuple[tuple[str, ...], Sequence[int]]] = {}

    def forget(self) -> None:
        """Other rules may stand there now."""
        self._left.clear()

    def messages(self, step: Step) -> list[Message]:
        """What takes out what a step does. Raises LookupError if other rules stand there."""
        chain, after = step.before, step.after
        assert isinstance(chain, Chain)
        assert isinstance(after, Chain)
        places = struck(step)
        rules, handles = self._left.pop(chain.key, ((), ()))
        if rules != chain.rules:
            handles = self._handles(chain, places)
        self._left[chain.key] = (
            after.rules,
            [number for place, number in enumerate(handles) if place not in places],
        )
        where = (chain.family, chain.table, chain.name)
        return [nft.delete_rule(*where, handles[place]) for place in places]

    def _handles(self, chain: Chain, places: Sequence[int]) -> list[int]:
        """The numbers of the rules of a chain, if it is as planned where it matters."""
        rows = listed(self._netlink, chain)
        if len(rows) != len(chain.rules):
            raise LookupError(f"{chain.name} has {len(rows)} rules, not {len(chain.rules)}")
        for place in places:
            names = INTERFACE.findall(chain.rules[place])
            if any(name.encode() + b"\0" not in rows[place] for name in names):
                raise LookupError(f"{chain.rules[place]} is not where it was in {chain.name}")
        return [handle(row) for row in rows]


def listed(netlink: Socket, chain: Chain) -> list[bytes]:
    """The rules of a chain as the kernel tells of them."""
    body = nft.header(chain.family) + text(nft.NFTA_RULE_TABLE, chain.table)
    body += text(nft.NFTA_RULE_CHAIN, chain.name)
    return [row for _, row in netlink.dump(nft.NFT_MSG_GETRULE, body)]


def handle(row: bytes) -> int:
    """The number by which the kernel knows a rule."""
    return int.from_bytes(attributes(row, nft.GENERAL.size)[nft.NFTA_RULE_HANDLE])
