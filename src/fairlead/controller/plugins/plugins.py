"""All plugins: who of them has a say in a network. They are found when somebody names them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from fairlead.controller.ask import BOTH, Declined, Ledger, Say
from fairlead.controller.facts import builtin
from fairlead.controller.plugins import places, wire
from fairlead.controller.plugins.addresses import NoAddresses, RemoteIpam
from fairlead.controller.plugins.network import RemoteDriver
from fairlead.controller.plugins.places import Places
from fairlead.controller.plugins.plugin import (
    FIRST_PAUSE_SECONDS,
    GLANCE,
    HASTY,
    JOINING,
    PATIENT,
    NotImplementedThere,
    Patience,
    Plugin,
)
from fairlead.model.errors import FairleadError, NotFound
from fairlead.model.network import Network, NetworkRequest, Scope

OURS = ("", "default", "null")
NETWORK, IPAM = "NetworkDriver", "IpamDriver"


class Plugins:
    """Finds plugins by name and keeps those that answered."""

    def __init__(self, where: Places | None = None) -> None:
        self._places = where or Places()
        self._known: dict[str, Plugin] = {}

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether its driver or its addresses are a plugin's."""
        if net.config_only:
            return False
        return not builtin(net.driver) or net.ipam_driver not in OURS

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """The plugins of a network. Raises NotFound, Unavailable, or what they answer."""
        patience = PATIENT if isinstance(net, NetworkRequest) else JOINING
        if not patient:
            patience = HASTY
        driver: RemoteDriver | None = None
        scope, gateways = Scope.LOCAL, BOTH
        if not builtin(net.driver):
            plugin = await self._get(net.driver, NETWORK, patience)
            caps = await capabilities(plugin, patience)
            scope = Scope(caps.Scope or "local")
            driver = RemoteDriver(plugin, patience)
            if caps.GwAllocChecker:
                gateways = await self._gateways(plugin, net, patience)
        ledger: Ledger | None = None
        if net.ipam_driver == "null" and driver is not None:
            ledger = NoAddresses()
        elif net.ipam_driver not in ("", "default"):
            plugin = await self._get(net.ipam_driver, IPAM, patience)
            ledger = RemoteIpam(plugin, patience, scope, gateways)
        parties = (driver,) if driver is not None else ()
        return Say(ledger, parties, scope, driver is not None, gateways)

    async def _gateways(
        self, plugin: Plugin, net: Network | NetworkRequest, patience: Patience
    ) -> frozenset[int]:
        """The families in which a driver wants an address set aside for a gateway."""
        body = {"Options": {wire.GENERIC: dict(net.options)}}
        try:
            found = await plugin.call("NetworkDriver.GwAllocCheck", body, wire.Skips, patience)
        except NotImplementedThere:
            return BOTH
        return BOTH - ({4} if found.SkipIPv4 else set()) - ({6} if found.SkipIPv6 else set())

    async def let_go(self, net: Network) -> None:
        """A plugin is told when a network has ended, and has no say in that."""

    async def names(self) -> Collection[str]:
        """The drivers that can be found and answer at once."""

        async def look(name: str) -> None:
            try:
                await self._activated(name, GLANCE)
            except FairleadError:
                # What is not up is no driver of this host now.
                return

        await asyncio.gather(*(look(name) for name in set(places.names(self._places))))
        return [name for name, p in sorted(self._known.items()) if NETWORK in p.implements]

    async def discover(self, new: bool, address: str, mine: bool = False) -> list[str]:
        """Tell the drivers of a host that came to the cluster or left it; what went wrong."""
        drivers = [p for p in self._known.values() if NETWORK in p.implements]
        told = await asyncio.gather(
            *(RemoteDriver(p, HASTY).discover(new, address, mine) for p in drivers),
            return_exceptions=True,
        )
        for failure in told:
            if isinstance(failure, BaseException) and not isinstance(failure, FairleadError):
                raise failure
        return [
            f"plugin {p.name}: {t}" for p, t in zip(drivers, told, strict=True) if t is not None
        ]

    async def _get(self, name: str, kind: str, patience: Patience) -> Plugin:
        """An activated plugin that is of a kind."""
        plugin = await self._activated(name, patience)
        if kind not in plugin.implements:
            # It may be another by now.
            self._known.pop(name, None)
            plugin = await self._activated(name, patience)
        if kind not in plugin.implements:
            raise NotFound(
                f'plugin "{name}" not found',
                hint=f"there is one of that name, which does not implement {kind}",
            )
        return plugin

    async def _activated(self, name: str, patience: Patience) -> Plugin:
        """A plugin that has answered. Looked for again and again while patience lasts."""
        address = places.find(self._places, name)
        known = self._known.get(name)
        if known is not None and known.address == address:
            return known
        end, pause = time.monotonic() + min(patience.start, 1.0), FIRST_PAUSE_SECONDS
        while address is None:
            if time.monotonic() + pause > end:
                self._known.pop(name, None)
                raise NotFound(
                    f'plugin "{name}" not found',
                    hint=f"no {name}.sock in {self._places.sockets}, no .spec or .json in "
                    + ", ".join(map(str, self._places.specs)),
                )
            await asyncio.sleep(pause)
            address = places.find(self._places, name)
        plugin = Plugin(name, address)
        await plugin.activate(patience)
        self._known[name] = plugin
        return plugin


async def capabilities(plugin: Plugin, patience: Patience) -> wire.Capabilities:
    """What a driver can do. Raises Unavailable, or Declined for a scope that there is not."""
    found = await plugin.once("NetworkDriver.GetCapabilities", wire.Capabilities, patience)
    for scope in (found.Scope or "", found.ConnectivityScope or "local"):
        if scope not in ("local", "global"):
            plugin.known.pop("NetworkDriver.GetCapabilities", None)
            raise Declined(f"invalid capability: expecting 'local' or 'global', got {scope[:40]}")
    return found
