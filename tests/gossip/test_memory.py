"""Gossip within one process keeps the promises of real agents."""

from __future__ import annotations

from contextlib import aclosing
from ipaddress import IPv4Address, IPv4Interface

import pytest

from fairlead.cluster.gossip import PeerEvent
from fairlead.gossip.gossip import Gossip, Heard
from fairlead.gossip.memory import Room
from fairlead.gossip.roster import MemberEvent, What
from fairlead.model.errors import Unavailable

ONE, TWO = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
EVENT = PeerEvent(
    True, ONE, "ab" * 32, "cd" * 32, IPv4Interface("10.0.0.2/24"), "02:42:0a:00:00:02"
)


async def first(gossip: Gossip, count: int) -> list[Heard]:
    """The first things that it hears."""
    async with aclosing(gossip.heard()) as heard:
        return [await anext(heard) for _ in range(count)]


async def test_members_hear_each_other_and_nobody_else_does() -> None:
    """Coming, telling, dying; one who is cut off is not heard."""
    room = Room()
    one, two = room.host("one", ONE), room.host("two", TWO)
    await one.tell(EVENT)
    room.cut(ONE)
    await one.tell(EVENT)
    with pytest.raises(Unavailable):
        await one.members()
    again = room.host("one", ONE)
    joined, told, failed, back = await first(two, 4)
    assert isinstance(joined, MemberEvent)
    assert isinstance(failed, MemberEvent)
    assert isinstance(back, MemberEvent)
    assert (joined.what, joined.member.address) == (What.JOINED, ONE)
    assert told == EVENT
    assert (failed.what, back.what) == (What.FAILED, What.JOINED)
    assert {member.address for member in await again.members()} == {ONE, TWO}
