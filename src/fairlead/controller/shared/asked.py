"""asked: hosts with Docker 20.10 are told where endpoints are, and when these are there no more.

Docker's kernel misses a neighbour, and its daemon asks the cluster by gossip. We answer
for our endpoints, and for those of hosts without serf: these can neither answer nor tell, and
Docker never looks into the store for them. Whoever gossips answers for itself.

Rule: what Docker learnt by asking it keeps until somebody tells it that this is over, under
the one id that it files all answers under. A leave under the endpoint's own id makes it put
the answer back. So whoever answered tells both.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from fairlead.cluster.docker import by_docker
from fairlead.cluster.gossip import ASKED, Found, PeerEvent
from fairlead.cluster.view import View
from fairlead.gossip.gossip import Gossip, Lookup
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress
from fairlead.model.world import World

MOST_ANSWERED = 10_000


class Asked:
    """What this host has told others that asked."""

    def __init__(self, gossip: Gossip | None, own: IPAddress, warn: Callable[[str], None]) -> None:
        self._gossip = gossip
        self._own = own
        self._warn = warn
        self._deaf_to: set[IPAddress] = set()
        self._answered: dict[tuple[str, str], None] = {}

    async def answer(
        self, lookup: Lookup, world: World, view: View, gossiping: Container[IPAddress]
    ) -> None:
        """Tell who asks where an endpoint is; nothing if nobody is there."""
        if self._gossip is None:
            return
        for ep in world.on_network(lookup.network):
            for address in ep.addresses:
                if address.ip == lookup.address:
                    self._note(lookup.network, ep.id)
                    await self._gossip.answer(lookup, Found(ep.mac, address, self._own))
                    return
        peer = view.at(lookup.network, lookup.address)
        if peer is None or peer.host == self._own or peer.host in gossiping:
            return
        for address in peer.addresses:
            if address.ip == lookup.address:
                self._note(peer.network, peer.id)
                await self._gossip.answer(lookup, Found(peer.mac, address, peer.host))

    async def changed(
        self, was: Peer | None, now: Peer | None, gossiping: Container[IPAddress]
    ) -> None:
        """An endpoint is not what it was: whoever asked for it is told that this is over."""
        if self._gossip is None:
            self._say_who_asks(now)
            return
        if was is None or not was.mac or (now is not None and _place(was) == _place(now)):
            return
        asked = self._answered.pop((was.network, was.id), self) is None
        # Of a host that cannot tell, others may have answered before we were there.
        if not asked and (was.host == self._own or was.host in gossiping):
            return
        for address in was.addresses:
            await self._gossip.tell(
                PeerEvent(False, was.host, was.network, ASKED, address, was.mac)
            )

    def _say_who_asks(self, peer: Peer | None) -> None:
        """Say once of each host with Docker that we cannot hear it ask."""
        if peer is None or peer.host in self._deaf_to or not by_docker(peer):
            return
        if peer.host == self._own:
            return
        self._deaf_to.add(peer.host)
        self._warn(
            f"host {peer.host} runs Docker 20.10, which finds containers by gossip alone: those "
            "of this host are out of its reach unless serf is installed, here or on another "
            "host with fairlead"
        )

    def _note(self, network: str, endpoint: str) -> None:
        self._answered[network, endpoint] = None
        if len(self._answered) > MOST_ANSWERED:
            del self._answered[next(iter(self._answered))]


def _place(peer: Peer) -> object:
    return peer.host, peer.mac, peer.addresses
