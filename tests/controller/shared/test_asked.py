"""Docker hosts that ask are answered for those that cannot answer, and told when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from ipaddress import IPv4Address, IPv4Interface

from fairlead.cluster.docker import by_docker
from fairlead.cluster.gossip import Found, PeerEvent, event_words, is_event
from fairlead.cluster.view import View
from fairlead.controller.shared.asked import Asked
from fairlead.gossip.gossip import Heard, Lookup
from fairlead.gossip.roster import Member
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress
from fairlead.model.world import World

OWN, OTHER, DUMB = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
NETWORK, ENDPOINT = "ab" * 32, "cd" * 32
INSIDE = IPv4Interface("10.0.0.9/24")


class Words:
    """Gossip that keeps what is said."""

    def __init__(self) -> None:
        self.told: list[PeerEvent] = []
        self.answers: list[Found] = []

    async def tell(self, event: PeerEvent) -> None:
        self.told.append(event)

    async def heard(self) -> AsyncGenerator[Heard, None]:
        nothing: tuple[Heard, ...] = ()
        for each in nothing:
            yield each

    async def answer(self, lookup: Lookup, found: Found) -> None:
        self.answers.append(found)

    async def members(self) -> tuple[Member, ...]:
        return ()

    async def join(self, addresses: Iterable[IPAddress]) -> None:
        return None


def peer(host: IPv4Address = DUMB, mac: str = "02:42:12:34:56:78") -> Peer:
    return Peer(ENDPOINT, NETWORK, host, mac, (INSIDE,), "web")


def gone(who: Peer, gossiping: frozenset[IPAddress]) -> list[PeerEvent]:
    """What is told when an endpoint goes that nobody asked for."""
    words = Words()
    asyncio.run(Asked(words, OWN, print).changed(who, None, gossiping))
    return words.told


def test_an_end_is_told_for_those_that_cannot() -> None:
    """Under the id that Docker files answers under; hosts with gossip tell it themselves."""
    (event,) = gone(peer(DUMB), frozenset({OTHER}))
    name, payload = event_words(event)
    assert name == f"jl {DUMB} {NETWORK} dummy"
    assert payload == b"leave 10.0.0.9 255.255.255.0 02:42:12:34:56:78"
    assert gone(peer(OTHER), frozenset({OTHER})) == []
    assert gone(peer(OWN), frozenset({OTHER})) == []


def test_nothing_is_told_of_who_stays() -> None:
    """A new name is no new place."""
    words = Words()
    asyncio.run(Asked(words, OWN, print).changed(peer(), peer(), frozenset()))
    assert words.told == []


def test_nobody_is_answered_for_who_is_not_known() -> None:
    """Silence lets others answer."""
    words = Words()
    lookup = Lookup(NETWORK, INSIDE.ip, 1, 1)
    asyncio.run(Asked(words, OWN, print).answer(lookup, World(), View(), frozenset()))
    assert words.answers == []


def test_such_an_end_is_no_event_of_ours() -> None:
    """Hosts with fairlead do not take it for one that is spoilt."""
    assert is_event(f"jl {DUMB} {NETWORK} {ENDPOINT}")
    assert not is_event(f"jl {DUMB} {NETWORK} dummy")


def test_docker_is_known_by_its_macs() -> None:
    """They say the address; whoever has no gossip hears once of each such host."""
    docker = peer(OTHER, "02:42:0a:00:00:09")
    assert by_docker(docker)
    assert not by_docker(peer())
    said: list[str] = []
    deaf = Asked(None, OWN, said.append)
    for who in (docker, docker, peer()):
        asyncio.run(deaf.changed(None, who, frozenset()))
    (line,) = said
    assert line.startswith(f"host {OTHER} runs Docker 20.10")
