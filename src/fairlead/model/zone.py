"""Which zone of firewalld an interface is in.

On a host that firewalld looks after, what is forwarded has to pass its rules as well, and in
its usual zones new connections are only let through within one. So bridges are members of a
zone of their own, which is called as Docker's: whoever adjusts that zone means containers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairlead.model.state import Key, Plain, Rank

ZONE = "docker"


@dataclass(frozen=True, slots=True)
class Member(Plain):
    """An interface in a zone: of its name, whether it is there yet or not."""

    link: str
    zone: str = ZONE
    RANK: ClassVar[Rank] = Rank.ZONE
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"zone"})

    @property
    def key(self) -> Key:
        return ("zone", self.link)
