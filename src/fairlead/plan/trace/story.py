"""What the kernel told of one packet, as lines, and how its way ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fairlead.model.packet import DELIVERED, LEAVING, PROBE_TABLE, Flow, Sight, Verdict, joined
from fairlead.plan.trace.rulebook import Author, Rulebook

LO = "lo"
"""What leaves by it comes back by it."""
SAYS = frozenset({Verdict.JUMP, Verdict.GOTO, Verdict.ACCEPT, Verdict.DROP, Verdict.RETURN,
                  Verdict.QUEUE, Verdict.STOLEN})  # fmt: skip
ENDS = frozenset({Verdict.DROP, Verdict.QUEUE, Verdict.STOLEN})


WORD = {Author.OURS: "rule", Author.YOURS: "yours", Author.FOREIGN: "foreign"}
PREFIX = {Author.OURS: "because ", Author.YOURS: "", Author.FOREIGN: ""}


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
    # What the packet looks like, and its links, are told once for each hook.
    seen: Sight | None = None
    reached: Ending | None = None
    for sight in sights:
        seen = sight if sight.flow is not None else seen
        flow = seen.flow if seen is not None else None
        links = (seen.came_by, seen.goes_by) if seen is not None else ("", "")
        if sight.table != PROBE_TABLE and sight.verdict in ENDS:
            fate = Fate.DROPPED if sight.verdict is Verdict.DROP else Fate.TAKEN
            return Ending(fate, sight, flow, links[1])
        if sight.table == PROBE_TABLE and sight.chain == DELIVERED:
            reached = Ending(Fate.DELIVERED, sight, flow, links[0])
        # Of a packet that a bridge then takes further, the way by the bridge is of interest.
        elif (sight.table, sight.chain) == (PROBE_TABLE, LEAVING) and (
            reached is None or sight.family != "bridge"
        ):
            reached = Ending(Fate.LEFT, sight, flow, links[1])
    if reached is not None and (reached.fate, reached.link) != (Fate.LEFT, LO):
        return reached
    if seen is None:
        return Ending(Fate.UNSEEN)
    return Ending(Fate.LOST, sights[-1], seen.flow, seen.came_by)


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


def hops(
    sights: Iterable[Sight], rules: Rulebook, flow: Flow, whole: bool = False
) -> Iterator[str]:
    """Each rule that had a say and why it is there, and what the packet became.

    Without `whole` only what decided; of strangers' rules everything.
    """
    told: set[tuple[str, int, Verdict]] = set()
    for sight in sights:
        # A bridge that does not know where to sends copies everywhere: one is told of.
        here = (sight.where, sight.handle, sight.verdict)
        if here in told:
            continue
        told.add(here)
        if sight.flow is not None and _moved(sight.flow, flow):
            yield from _becomes(flow, sight.flow)
            flow = sight.flow
        if sight.table == PROBE_TABLE or sight.verdict not in SAYS:
            continue
        author = rules.author(sight)
        if not sight.handle:
            if sight.verdict is Verdict.DROP:
                yield f"  policy  {sight.where}: drops what it has no rule for"
        elif whole or author is Author.FOREIGN or _decides(sight):
            yield f"  {WORD[author]:<8}{sight.where}: {_words(sight)}"
            yield f"          {PREFIX[author]}{rules.reason(sight)}"


def _decides(sight: Sight) -> bool:
    """Whether a rule has the last word in its table, or spares a packet what comes after it."""
    leads = sight.verdict in (Verdict.JUMP, Verdict.GOTO)
    return not leads and sight.rule not in ("-j RETURN", "return")


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
