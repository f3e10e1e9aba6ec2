"""Gossip within one process: what simulations and tests of many hosts use in place of agents.

It keeps the agents' promises and no more: events reach all members that listen, in order, and
nobody else; a host that is cut off fails for the others and hears nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from fairlead.cluster.gossip import Found, PeerEvent
from fairlead.gossip.gossip import Heard, Lookup
from fairlead.gossip.process import PORT
from fairlead.gossip.roster import Member, MemberEvent, What
from fairlead.model.errors import Unavailable
from fairlead.model.state import IPAddress


class Room:
    """Where hosts hear each other."""

    def __init__(self) -> None:
        self._hosts: dict[IPAddress, Mouth] = {}
        self.answers: list[tuple[Lookup, Found]] = []
        """What was answered to the room's own questions."""

    def host(self, name: str, address: IPAddress) -> Mouth:
        """A host that enters; who has the address already is gone."""
        self.cut(address)
        host = Mouth(self, Member(name, address, PORT, alive=True))
        self._tell(MemberEvent(What.JOINED, host.member), but=host)
        for other in self._hosts.values():
            host.push(MemberEvent(What.JOINED, other.member))
        self._hosts[address] = host
        return host

    def cut(self, address: IPAddress, what: What = What.FAILED) -> None:
        """A host dies, or leaves."""
        host = self._hosts.pop(address, None)
        if host is not None:
            gone = Member(host.member.name, address, PORT, alive=False)
            self._tell(MemberEvent(what, gone), but=host)

    def ask(self, address: IPAddress, lookup: Lookup) -> None:
        """Ask one host, as a kernel that misses a neighbour makes Docker ask."""
        self._hosts[address].push(lookup)

    def members(self, asking: Mouth) -> tuple[Member, ...]:
        """Who is there. Raises Unavailable for one who is not."""
        if self._hosts.get(asking.member.address) is not asking:
            raise Unavailable("it is cut off")
        return tuple(host.member for host in self._hosts.values())

    def told(self, event: PeerEvent, by: Mouth) -> None:
        """An event for all others, unless its teller is cut off."""
        if self._hosts.get(by.member.address) is by:
            self._tell(event, but=by)

    def _tell(self, heard: Heard, but: Mouth) -> None:
        for host in self._hosts.values():
            if host is not but:
                host.push(heard)


class Mouth:
    """One host's gossip."""

    def __init__(self, room: Room, member: Member) -> None:
        self.member = member
        self._room = room
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()

    def __str__(self) -> str:
        return "within one process"

    def push(self, heard: Heard) -> None:
        """Something to hear."""
        self._heard.put_nowait(heard)

    async def tell(self, event: PeerEvent) -> None:
        """Tell all hosts."""
        self._room.told(event, self)

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """What others tell, for one listener; ends only when closed."""
        while True:
            yield await self._heard.get()

    async def answer(self, lookup: Lookup, found: Found) -> None:
        """Answer who asked."""
        self._room.answers.append((lookup, found))

    async def members(self) -> tuple[Member, ...]:
        """All hosts that are there."""
        return self._room.members(self)

    async def join(self, addresses: Iterable[IPAddress]) -> None:
        """All that are in the room have met."""
