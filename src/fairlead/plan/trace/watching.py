"""Which of the packets that are really sent somebody means, as matches of nftables. Pure.

Only what begins a connection is followed, and a few packets a second: the kernel tells of
each at every rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fairlead.model.iptables import FAMILIES
from fairlead.model.packet import Flow, Sight
from fairlead.model.state import IPAddress
from fairlead.model.world import World
from fairlead.plan.trace.ends import Asked, End
from fairlead.plan.trace.story import grouped, is_over

RATE = "limit rate 5/second burst 5 packets"
HERE = "fib daddr type local"
BEGINS = "tcp flags & (syn | ack) == syn"


def meant(world: World, question: Asked) -> Mapping[tuple[str, str], Sequence[str]]:
    """The matches for what comes in, and for what this host sends itself."""
    own = question.source.host and question.source.address is None
    here = question.target.host and question.target.address is None
    matches = tuple(_matches(world, question))
    local = tuple(f"{HERE} {match}" for match in matches) if here else matches
    return {
        ("inet", "c_begin"): () if own else local,
        ("inet", "c_sent"): local,
        # What is for this host passes the other chain as well.
        ("bridge", "c_begin"): () if own or here else matches,
    }


def _matches(world: World, question: Asked) -> Iterator[str]:
    begins = f" {BEGINS}" if question.protocol == "tcp" else ""
    what = f"meta l4proto {question.protocol} th dport {question.port}{begins} {RATE}"
    sources, targets = (_addresses(world, end) for end in (question.source, question.target))
    for version, family in FAMILIES.items():
        ends = []
        for way, found in (("saddr", sources), ("daddr", targets)):
            mine = [str(address) for address in found or () if address.version == version]
            if found is not None:
                ends.append(f"{family} {way} {{ {', '.join(mine)} }} " if mine else "")
        if all(ends):
            yield f"{''.join(ends)}{what}"
        if not ends:
            # Whoever it is and whoever to: of both families.
            return


def _addresses(world: World, end: End) -> list[IPAddress] | None:
    """Those that an end may have; None: any."""
    if end.address is not None:
        return [end.address]
    if end.box is None:
        return None
    return [a.ip for e in world.in_sandbox(end.box.id) for a in e.addresses]


def packets(sights: Sequence[Sight]) -> dict[Flow, list[Sight]]:
    """What was told, packet by packet; one that passed the loopback is one and not two.

    One of which not even the ends are told (they are behind headers of IPv6) is passed over.
    """
    found: dict[Flow, list[Sight]] = {}
    for told in grouped(sights).values():
        first = next((s.flow for s in told if s.flow is not None), None)
        if first is not None:
            found.setdefault(first, []).extend(told)
    return found


def all_told(sights: Sequence[Sight]) -> bool:
    """Whether of none of the packets more is to come."""
    return all(map(is_over, packets(sights).values()))
