"""plugged: networks whose driver is a plugin that works for the whole cluster (scope global).

As with Docker they are in the store like overlays: every host shows them, addresses and
names are the cluster's, and nobody takes one away while somebody is on it. How packets
travel is the plugin's business.

Rule: the plugin hears of a network once, on the host where it is made, and of its end on
the host where that is asked for. What it has to know elsewhere it keeps by its own means.

One that was made while this host was in no cluster has addresses that no cluster gave: it
stays this host's alone, as it is, and that is said when the host is a member.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from fairlead.controller.ask import Outside, Say
from fairlead.controller.shared.say import SharedLedger, SharedParty
from fairlead.model.network import Network, NetworkRequest, Scope
from fairlead.model.world import World


def left_alone(world: World) -> Iterator[str]:
    """What is said of the networks that no other host is told of."""
    for net in world.networks.values():
        if net.alone:
            yield (
                f"network {net.name} ({net.driver}) is this host's alone: it was made while this "
                "host was in no cluster; remove it and make it again to have it on all hosts"
            )


class PluggedSays:
    """Says who has a say in networks of plugins: they, and the cluster where they are of it."""

    def __init__(self, plugins: Outside, ledger: SharedLedger, party: SharedParty) -> None:
        self._plugins = plugins
        self._ledger = ledger
        self._party = party

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether a plugin has a say."""
        return self._plugins.foreign(net)

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """The plugin first: what it refuses the store never sees."""
        say = await self._plugins.find(net, patient)
        common = net.shared if isinstance(net, Network) else say.scope is Scope.GLOBAL
        if not say.remote or not common:
            return say
        ledger, parties = say.ledger or self._ledger, (*say.parties, self._party)
        return replace(say, ledger=ledger, parties=parties, common=True)

    async def let_go(self, net: Network) -> None:
        """Gone from the cluster; its plugin hears of that afterwards, wherever it is."""
        if net.shared:
            await self._party.let_go(net)

    async def names(self) -> Collection[str]:
        """The plugins."""
        return await self._plugins.names()
