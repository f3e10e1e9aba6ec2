"""Who is in the cluster, by address, made of what an agent says of names.

Two names can have one address: a host that lost its state comes back as somebody new while
the old name is still dying. What is told is about addresses, because tunnels lead to these:
one is there as long as any of its names is.

Rule: an agent that was started anew knows nobody yet, and that is not news about anybody. A
member is missed only when it has been absent from the lists for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address

from fairlead.gossip.rpc import RawMember
from fairlead.model.state import IPAddress

ALIVE = "alive"
MOST = 10_000
"""Names that are kept. Without encryption anybody can make them up."""
MISSED_SECONDS = 60.0


class What(Enum):
    """What became of a member."""

    JOINED = "member-join"
    LEFT = "member-leave"
    FAILED = "member-failed"
    REAPED = "member-reap"


@dataclass(frozen=True, slots=True)
class Member:
    """A host as the cluster knows it."""

    name: str
    address: IPAddress
    port: int
    alive: bool


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """A host has come, said good-bye, gone silent, or been forgotten."""

    what: What
    member: Member


STATUS = {ALIVE: What.JOINED, "left": What.LEFT, "failed": What.FAILED}


class Roster:
    """The members other than ourselves."""

    def __init__(self, own: IPAddress) -> None:
        self._own = own
        self._known: dict[str, Member] = {}
        self._alive: dict[IPAddress, int] = {}
        self._missing: dict[str, float] = {}

    def __contains__(self, address: IPAddress) -> bool:
        """Whether a living member has the address."""
        return address in self._alive

    def __len__(self) -> int:
        """How many addresses live."""
        return len(self._alive)

    def heard(self, event: str, members: Iterable[RawMember]) -> Iterator[MemberEvent]:
        """What an event of the agent says that was not known."""
        try:
            what = What(event)
        except ValueError:
            # An update of tags, which we have none of.
            return
        for raw in members:
            yield from self._became(raw, what)

    def listed(self, members: Iterable[RawMember], now: float) -> Iterator[MemberEvent]:
        """What a whole list says that was not known; `now` in seconds of any clock."""
        seen = set()
        for raw in members:
            seen.add(raw.name)
            self._missing.pop(raw.name, None)
            # One who is leaving is still there.
            if (what := STATUS.get(raw.status)) is not None:
                yield from self._became(raw, what)
        for name in self._known.keys() - seen:
            if now - self._missing.setdefault(name, now) >= MISSED_SECONDS:
                del self._missing[name]
                yield from self._gone(name, What.REAPED)

    @property
    def missing(self) -> bool:
        """Whether some are absent that we knew, so that the list should be read again."""
        return bool(self._missing)

    def _became(self, raw: RawMember, what: What) -> Iterator[MemberEvent]:
        address = plain_address(raw.addr)
        if address is None or address == self._own:
            return
        known = self._known.get(raw.name)
        if known is not None and known.address != address and what is What.JOINED:
            # The same host somewhere else.
            yield from self._gone(raw.name, What.LEFT)
            known = None
        if what is not What.JOINED:
            yield from self._gone(raw.name, what)
        elif known is None and len(self._known) < MOST:
            member = Member(raw.name, address, raw.port, alive=True)
            self._known[raw.name] = member
            self._alive[address] = self._alive.get(address, 0) + 1
            if self._alive[address] == 1:
                yield MemberEvent(what, member)

    def _gone(self, name: str, what: What) -> Iterator[MemberEvent]:
        member = self._known.pop(name, None)
        if member is None:
            return
        self._alive[member.address] -= 1
        if not self._alive[member.address]:
            del self._alive[member.address]
            yield MemberEvent(what, Member(name, member.address, member.port, alive=False))


def plain_address(raw: bytes) -> IPAddress | None:
    """An address as Go writes it: IPv4 may be dressed as IPv6."""
    if len(raw) not in (4, 16):
        return None
    address = ip_address(raw)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
