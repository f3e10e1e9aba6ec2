"""What the kernel told of one packet, as lines, and how its way ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fairlead.model.packet import PROBE_TABLE, Flow, Sight, Verdict, joined
from fairlead.plan.trace.rulebook import Author, Rulebook

DELIVERED, LEAVING = "c_delivered", "c_leaving"
SAYS = frozenset({Verdict.JUMP, Verdict.GOTO, Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN,
                  Verdict.QUEUE, Verdict.STOLEN})  # fmt: skip
ENDS = frozenset({Verdict.DROP, Verdict.QUEUE, Verdict.STOLEN})


class Fate(StrEnum):
    """Where a packet ended, as far as rules and routes have a say."""

    DELIVERED = "delivered"
    LEFT = "left"
    DROPPED = "dropped"
    TAKEN = "taken"
    LOST = "lost"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a way ended: at which rule, or by which link and as what."""

    fate: Fate
    at: Sight | None = None
    flow: Flow | None = None
    """How it looked then, after translation."""
    link: str = ""


def ending(sights: Sequence[Sight]) -> Ending:
    """How the way of one packet ended."""
    flow: Flow | None = None
    reached: Sight | None = None
    for sight in sights:
        flow = sight.flow or flow
        if sight.table == PROBE_TABLE:
            if sight.chain in (DELIVERED, LEAVING):
                reached = sight
        elif sight.verdict in ENDS:
            fate = Fate.DROPPED if sight.verdict is Verdict.DROP else Fate.TAKEN
            return Ending(fate, sight, flow, sight.goes_by)
    if reached is None:
        last = sights[-1] if sights else None
        return Ending(Fate.LOST if sights else Fate.UNSEEN, last, flow)
    if reached.chain == DELIVERED:
        return Ending(Fate.DELIVERED, reached, flow, reached.came_by)
    return Ending(Fate.LEFT, reached, flow, reached.goes_by)


def is_over(sights: Iterable[Sight]) -> bool:
    """Whether nothing more is to be told of a packet."""
    return ending(tuple(sights)).fate not in (Fate.LOST, Fate.UNSEEN)


def grouped(sights: Iterable[Sight]) -> Mapping[int, list[Sight]]:
    """Packet by packet, those that we asked to be followed: others may follow theirs."""
    found: dict[int, list[Sight]] = {}
    for sight in sights:
        asked = sight.table == PROBE_TABLE and sight.handle
        if asked or sight.packet in found:
            found.setdefault(sight.packet, []).append(sight)
    return found


def hops(sights: Iterable[Sight], rules: Rulebook, flow: Flow) -> Iterator[str]:
    """Each rule that had a say, why it is there, and what the packet became."""
    for sight in sights:
        if sight.flow is not None and _moved(sight.flow, flow):
            yield from _becomes(flow, sight.flow)
            flow = sight.flow
        if sight.table == PROBE_TABLE or sight.verdict not in SAYS:
            continue
        if sight.handle:
            word = {Author.OURS: "rule", Author.YOURS: "yours", Author.FOREIGN: "foreign"}
            yield f"  {word[rules.author(sight)]:<8}{sight.where}: {_words(sight)}"
            yield (
                f"          because {rules.reason(sight)}"
                if _has_reason(rules, sight)
                else (f"          {rules.reason(sight)}")
            )
        elif sight.verdict is Verdict.DROP:
            yield f"  policy  {sight.where}: drops what it has no rule for"


def _has_reason(rules: Rulebook, sight: Sight) -> bool:
    return rules.author(sight) is Author.OURS


def _words(sight: Sight) -> str:
    """The rule; one of a map does not say what the map said."""
    told = "vmap" in sight.rule or "REJECT" in sight.rule
    to = f" {sight.to}" if sight.to else ""
    return f"{sight.rule}  [{sight.verdict}{to}]" if told else sight.rule


def _moved(now: Flow, before: Flow) -> bool:
    return (now.source, now.destination, now.port) != (
        before.source,
        before.destination,
        before.port,
    )


def _becomes(before: Flow, now: Flow) -> Iterator[str]:
    if (now.destination, now.port) != (before.destination, before.port):
        yield f"  becomes a packet for {joined(now.destination, now.port)}"
    if now.source != before.source:
        yield f"  becomes a packet from {now.source}"
