"""A plugin's NetworkDriver as a party: it makes networks and links, and says how they are used.

====================  =====================================================================
a network is made     GwAllocCheck (if it wants), CreateNetwork
a container comes     CreateEndpoint, Join; then its link is moved into the sandbox;
                      ProgramExternalConnectivity if it is the way out; EndpointOperInfo
a container goes      its link is back on the host; RevokeExternalConnectivity, Leave,
                      DeleteEndpoint
a network goes        DeleteNetwork
====================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.controller.ask import Declined
from fairlead.controller.facts import Lie
from fairlead.controller.plugins import wire
from fairlead.controller.plugins.plugin import NotImplementedThere, Patience, Plugin, Refusal
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.errors import FairleadError
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox

NODE = 1
"""The only kind of discovery that drivers are told of."""


class RemoteDriver:
    """Asks a plugin."""

    def __init__(self, plugin: Plugin, patience: Patience) -> None:
        self._plugin = plugin
        self._patience = patience

    @property
    def _who(self) -> str:
        return f"plugin {self._plugin.name}"

    async def _say(self, call: str, body: wire.Json) -> None:
        await self._plugin.call(f"NetworkDriver.{call}", body, wire.Said, self._patience)

    async def _offer(self, call: str, body: wire.Json) -> None:
        """A call that a driver need not know."""
        try:
            await self._say(call, body)
        except NotImplementedThere:
            return

    async def create(self, net: Network) -> Network:
        """The network, as it was asked for."""
        await self._say("CreateNetwork", wire.network(net))
        return net

    async def delete(self, net: Network) -> None:
        """It is gone."""
        await self._say("DeleteNetwork", {"NetworkID": net.id})

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """The endpoint with the link that the driver made, and what it says of its ways."""
        made = await self._plugin.call(
            "NetworkDriver.CreateEndpoint",
            wire.endpoint(net, box, ep, publish),
            wire.Made,
            self._patience,
        )
        try:
            ep = self._chosen(ep, made.Interface or wire.Interface())
            body = {
                **wire.ids(net, ep),
                "SandboxKey": str(place),
                "Options": wire.port_options(box, publish),
            }
            joined = await self._plugin.call(
                "NetworkDriver.Join", body, wire.Joined, self._patience
            )
        except (Refusal, Lie) as error:
            await self._delete_endpoint(net, ep)
            raise Declined(error.message, hint=error.hint) from error
        try:
            ep = self._placed(ep, joined)
            return replace(ep, told=await self._told(net, ep))
        except Lie as error:
            await self.leave(net, ep)
            raise Declined(error.message, hint=error.hint) from error

    def _chosen(self, ep: Endpoint, given: wire.Interface) -> Endpoint:
        """What the driver chose, which is only what nobody else had."""
        who = self._who
        addresses = list(ep.addresses)
        for version, text in ((4, given.Address), (6, given.AddressIPv6)):
            if not text:
                continue
            found, mine = wire.interface(who, text, version), ep.ipv4 if version == 4 else ep.ipv6
            if mine is not None and mine != found:
                raise Lie(who, "driver modified interface address: endpoint already has one")
            if mine is None:
                addresses.append(found)
        mac = wire.mac(who, given.MacAddress) if given.MacAddress else ""
        if mac and ep.mac and mac != ep.mac:
            raise Lie(who, "driver modified interface MAC address: endpoint already has one")
        return replace(ep, addresses=tuple(addresses), mac=ep.mac or mac)

    def _placed(self, ep: Endpoint, joined: wire.Joined) -> Endpoint:
        who, names = self._who, joined.InterfaceName or wire.InterfaceName()
        source = wire.link(who, names.SrcName) if names.SrcName else ""
        routes = wire.routes(who, joined.StaticRoutes or ())
        ways = []
        for version, text in ((4, joined.Gateway), (6, joined.GatewayIPv6)):
            if not text:
                continue
            found = wire.address(who, text)
            if found.version != version:
                raise Lie(who, f"{found} is no IPv{version} gateway")
            ways.append(found)
        # A default route through somebody is a gateway by another name.
        for route in routes:
            default = not route.destination.prefixlen
            if default and route.via and all(w.version != route.via.version for w in ways):
                ways.append(route.via)
        kept = tuple(r for r in routes if r.destination.prefixlen or r.via is None)
        return replace(
            ep,
            source=source,
            prefix=wire.prefix(who, names.DstPrefix or ""),
            cable=bool(source),
            gateways=tuple(ways) if source else (),
            routes=kept if source else (),
            alone=bool(joined.DisableGatewayService),
        )

    async def _told(self, net: Network, ep: Endpoint) -> dict[str, str]:
        try:
            info = await self._plugin.call(
                "NetworkDriver.EndpointOperInfo", wire.ids(net, ep), wire.Info, self._patience
            )
        except Declined:
            # It need not tell.
            return {}
        return wire.told(info.Value or {})

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """Leave, and the end of the endpoint even if the first is refused."""
        refused: FairleadError | None = None
        try:
            await self._say("Leave", wire.ids(net, ep))
        except Refusal as error:
            refused = error
        await self._delete_endpoint(net, ep)
        if refused is not None:
            raise refused

    async def _delete_endpoint(self, net: Network, ep: Endpoint) -> None:
        await self._say("DeleteEndpoint", wire.ids(net, ep))

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """The network again; whoever knows it already says so, and that is well."""
        try:
            await self._say("CreateNetwork", wire.network(net))
        except Declined:
            return

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """Ports, which a driver need not care for."""
        options = {wire.PORTS["mapped"]: wire.port_map(publish)}
        body = {**wire.ids(net, ep), "Options": options}
        await self._offer("ProgramExternalConnectivity", body)

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """The same backwards."""
        await self._offer("RevokeExternalConnectivity", wire.ids(net, ep))

    async def discover(self, new: bool, address: str, mine: bool) -> None:
        """A host came to the cluster, or left it; a driver need not care."""
        data = {"Address": address, "BindAddress": address, "Self": mine, "self": mine}
        call = "DiscoverNew" if new else "DiscoverDelete"
        await self._offer(call, {"DiscoveryType": NODE, "DiscoveryData": data})
