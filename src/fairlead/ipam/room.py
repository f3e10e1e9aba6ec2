"""Room in a range of addresses: the lowest aligned block that nothing overlaps.

Blocks are sought between what is taken, not tried one by one: a range may hold
more of them than anybody wants to count, and a host many networks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from fairlead.model.network import Block
from fairlead.model.state import IPNetwork

Spans = list[Block]
"""First and last addresses of what is taken, in order and apart from each other."""


def spans(
    taken: Iterable[IPNetwork], version: Literal[4, 6], blocks: Iterable[Block] = ()
) -> Spans:
    """What is taken of a family's addresses; `blocks` of it as numbers."""
    found = [
        (int(n.network_address), int(n.broadcast_address)) for n in taken if n.version == version
    ]
    merged: Spans = []
    end = -2
    for block in sorted([*blocks, *found]):
        first, last = block
        if first > end + 1:
            merged.append(block)
            end = last
        elif last > end:
            merged[-1] = (merged[-1][0], last)
            end = last
    return merged


def room(range_: IPNetwork, length: int, taken: Spans) -> IPNetwork | None:
    """The lowest block with that prefix length in a range; None when there is none."""
    if not range_.prefixlen <= length <= range_.max_prefixlen:
        return None
    size = 1 << (range_.max_prefixlen - length)
    start, end = int(range_.network_address), int(range_.broadcast_address)
    at = bisect_left(taken, start, key=lambda span: span[1])
    while start + size - 1 <= end:
        if at == len(taken) or start + size <= taken[at][0]:
            # A number below 2**32 alone would be taken for IPv4.
            return (
                IPv4Network((start, length))
                if range_.version == 4
                else IPv6Network((start, length))
            )
        # The next boundary of such a block behind what is in the way.
        start = max(start, (taken[at][1] // size + 1) * size)
        at += 1
    return None
