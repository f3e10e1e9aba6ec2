"""An agent's log, read for what a person should know: one clear line for each trouble, once."""

from __future__ import annotations

import re
from collections import OrderedDict

AGAIN_SECONDS = 600.0
MOST = 256

# Places are written as address:port, and of IPv6 with brackets.
PLACE = r"\[?([0-9a-fA-F.:]+?)\]?:\d+"
MINE = re.compile(rf"serf: Node name conflicts with another node at {PLACE}\.")
THEIRS = re.compile(
    rf"serf: Name conflict for '(.{{1,128}}?)' both {PLACE} and {PLACE} are claiming"
)
FOREIGN = re.compile(
    r"memberlist: .*(No installed keys could decrypt|Encryption is configured but)"
)
FROM = re.compile(rf"from={PLACE}")
DROPPED = re.compile(r"agent.ipc: Dropping event")


def trouble(line: str, name: str) -> str:
    """What a line of log means for people; empty if nothing. `name` is ours."""
    if found := MINE.search(line):
        return (
            f"the host at {found[1]} has our name, {name!a}; one of the two was copied"
            " from the other and needs a data root of its own, or another host name"
        )
    if found := THEIRS.search(line):
        first, second = sorted((found[2], found[3]))
        return (
            f"the hosts at {first} and {second} have one name, {found[1]!a};"
            " others hear only the first that came"
        )
    if FOREIGN.search(line):
        place = FROM.search(line)
        source = place[1] if place else "somebody"
        return f"{source} has another key than this cluster, or none; it is not heard"
    if DROPPED.search(line):
        return "there was more to hear than could be read; some events are lost"
    return ""


class Once:
    """Lets a line through that was not said lately, and few of them in all."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, float] = OrderedDict()

    def new(self, line: str, now: float) -> bool:
        """Whether the line is to be said; `now` in seconds of any clock."""
        while self._said and now - next(iter(self._said.values())) >= AGAIN_SECONDS:
            self._said.popitem(last=False)
        if line in self._said or len(self._said) >= MOST:
            return False
        self._said[line] = now
        return True
