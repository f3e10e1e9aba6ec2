"""plugged: networks whose driver is a plugin that works for the whole cluster (scope global).

As with Docker they are in the store like overlays: every host shows them, addresses and
names are the cluster's, and nobody takes one away while somebody is on it. How packets
travel is the plugin's business.

Rule: the plugin hears of a network once, on the host where it is made, and of its end on
the host where that is asked for. What it has to know elsewhere it keeps by its own means.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.controller.ask import Ledger, Outside, Party, Say
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.network import Network, NetworkRequest, Scope
from fairlead.model.sandbox import Sandbox


class PluggedSays:
    """Says who has a say in networks of plugins: they, and the cluster where they are of it."""

    def __init__(self, plugins: Outside, ledger: Ledger, party: Party) -> None:
        self._plugins = plugins
        self._ledger = ledger
        self._party = party

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether a plugin has a say."""
        return self._plugins.foreign(net)

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """The plugin first: what it refuses the store never sees."""
        say = await self._plugins.find(net, patient)
        scope = net.scope if isinstance(net, Network) else say.scope
        if not say.remote or scope is not Scope.GLOBAL:
            return say
        told = tuple(_Once(party) for party in say.parties)
        return replace(say, ledger=say.ledger or self._ledger, parties=(*told, self._party))

    async def names(self) -> Collection[str]:
        """The plugins."""
        return await self._plugins.names()


class _Once:
    """A driver that is not told of networks again when a host starts."""

    def __init__(self, driver: Party) -> None:
        self._driver = driver

    async def create(self, net: Network) -> Network:
        """As the driver does."""
        return await self._driver.create(net)

    async def delete(self, net: Network) -> None:
        """As the driver does."""
        await self._driver.delete(net)

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """As the driver does."""
        return await self._driver.join(net, box, ep, place, publish)

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """As the driver does."""
        await self._driver.leave(net, ep)

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """It knows: it is the cluster's."""

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """As the driver does."""
        await self._driver.expose(net, ep, publish)

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """As the driver does."""
        await self._driver.conceal(net, ep)
