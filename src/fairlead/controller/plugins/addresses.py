"""A plugin's IpamDriver as a ledger: pools and addresses that it gives out and takes back."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network

from fairlead.controller.facts import Lie
from fairlead.controller.plugins import wire
from fairlead.controller.plugins.plugin import NotImplementedThere, Patience, Plugin, Refusal
from fairlead.ipam.pool import parse
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Failed, FairleadError, Forbidden
from fairlead.model.network import Network, NetworkRequest, Pool, PoolRequest, Scope
from fairlead.model.state import IPAddress, IPInterface

TYPE = "RequestAddressType"


class NoAddresses:
    """The `null` IPAM: networks without addresses that we know of."""

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """None."""
        return ()

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """There is none."""

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """None."""
        return ()

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """There is none."""

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """Nothing is held."""


class RemoteIpam:
    """Asks a plugin."""

    def __init__(
        self, plugin: Plugin, patience: Patience, scope: Scope, gateways: frozenset[int]
    ) -> None:
        self._plugin = plugin
        self._patience = patience
        self._scope = scope
        self._gateways = gateways

    @property
    def _who(self) -> str:
        return f"plugin {self._plugin.name}"

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """One for each subnet that was asked for, or one of each family."""
        space = await self._space()
        asked = [p for p in request.pools if p.subnet or p.gateway or p.ip_range or p.auxiliary]
        wanted: list[tuple[int, PoolRequest]] = []
        for version, enabled in ((4, net.enable_ipv4), (6, net.enable_ipv6)):
            mine = [p for p in asked if not p.subnet or _version(p.subnet) == version]
            mine = [p for p in mine if p.subnet or version == 4]
            if enabled:
                wanted += [(version, p) for p in mine or [PoolRequest()]]
        # What can be seen to be wrong is not asked for.
        parse([p for _, p in wanted if p.subnet])
        found: list[Pool] = []
        try:
            for version, ask in wanted:
                found.append(await self._pool(net, space, version, ask))
        except BaseException:
            for pool in reversed(found):
                await self._back(net, pool)
            raise
        return tuple(found)

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """Tell again of pools and addresses, if the plugin wants to hear of them at our starts.

        One that remembers them refuses, and that is well.
        """
        if not (await self.capabilities()).RequiresRequestReplay:
            return
        for pool in net.pools:
            try:
                await self._request_pool(net, pool.space, pool.subnet.version, _said(pool))
            except Refusal:
                continue
            if pool.gateway is not None:
                await self._again(pool, pool.gateway, {TYPE: wire.GATEWAY})
            for address in pool.auxiliary.values():
                await self._again(pool, address, {})
            for ep in endpoints:
                for mine in (a.ip for a in ep.addresses if a.ip in pool.subnet):
                    await self._again(pool, mine, await self._options(ep.mac))

    async def _again(self, pool: Pool, address: IPAddress, options: Mapping[str, str]) -> None:
        try:
            await self._address(pool.id, address, options)
        except Refusal:
            # It remembers.
            return

    async def _options(self, mac: str) -> dict[str, str]:
        """What goes along with the wish for an endpoint's address."""
        if not (await self.capabilities()).RequiresMACAddress:
            return {}
        return {wire.MAC: mac or f"02:42:{secrets.token_bytes(4).hex(':')}"}

    async def capabilities(self) -> wire.IpamCapabilities:
        """What the plugin needs; of one that does not say nothing."""
        try:
            return await self._plugin.once(
                "IpamDriver.GetCapabilities", wire.IpamCapabilities, self._patience
            )
        except (NotImplementedThere, Refusal):
            self._plugin.known["IpamDriver.GetCapabilities"] = wire.IpamCapabilities()
            return wire.IpamCapabilities()

    async def _space(self) -> str:
        spaces = await self._plugin.once(
            "IpamDriver.GetDefaultAddressSpaces", wire.Spaces, self._patience
        )
        local, everywhere = spaces.LocalDefaultAddressSpace, spaces.GlobalDefaultAddressSpace
        return (everywhere if self._scope is Scope.GLOBAL else local) or ""

    async def _pool(self, net: Network, space: str, version: int, ask: PoolRequest) -> Pool:
        given = await self._request_pool(net, space, version, ask)
        who = self._who
        bare = Pool(ip_network("0.0.0.0/0"), id=given.PoolID or "", space=space)
        try:
            if not given.PoolID:
                raise Lie(who, "gave a pool without an id")
            subnet = wire.interface(who, given.Pool or "", version).network
            pool = replace(bare, subnet=subnet)
            if ask.subnet and subnet != ip_network(ask.subnet):
                raise Lie(who, f"gave {subnet} when asked for {ask.subnet}")
            if ask.ip_range:
                pool = replace(pool, ip_range=ip_network(ask.ip_range))
            bare = pool
            offered = (given.Data or {}).get(wire.GATEWAY)
            if offered:
                bare = pool = replace(pool, gateway=wire.interface(who, offered, version).ip)
            if ask.gateway or (pool.gateway is None and version in self._gateways):
                gateway = await self._gateway(pool, ask.gateway)
                bare = pool = replace(pool, gateway=gateway)
            for name, text in ask.auxiliary.items():
                pool = await self._auxiliary(pool, name, wire.address(who, text))
                bare = pool
        except BaseException:
            await self._back(net, bare)
            raise
        return pool

    async def _request_pool(
        self, net: Network, space: str, version: int, ask: PoolRequest
    ) -> wire.GivenPool:
        body = {
            "AddressSpace": space,
            "Pool": ask.subnet,
            "SubPool": ask.ip_range,
            "Options": dict(net.ipam_options or {}),
            "V6": version == 6,
        }
        return await self._plugin.call(
            "IpamDriver.RequestPool", body, wire.GivenPool, self._patience
        )

    async def _gateway(self, pool: Pool, wanted: str) -> IPAddress:
        address = wire.address(self._who, wanted) if wanted else None
        try:
            return (await self._address(pool.id, address, {TYPE: wire.GATEWAY})).ip
        except FairleadError as error:
            raise Failed(
                f"failed to allocate gateway ({wanted}): {error.message}", hint=error.hint
            ) from error

    async def _auxiliary(self, pool: Pool, name: str, address: IPAddress) -> Pool:
        if address not in pool.subnet:
            raise Forbidden(
                f"auxiliary address: ({name}:{address}) must belong to the master pool: "
                f"{pool.subnet}"
            )
        try:
            await self._address(pool.id, address, {})
        except FairleadError as error:
            raise Failed(
                f"failed to allocate secondary ip address ({name}:{address}): {error.message}",
                hint=error.hint,
            ) from error
        return replace(pool, auxiliary={**pool.auxiliary, name: address})

    async def _address(
        self, pool: str, wanted: IPAddress | None, options: Mapping[str, str]
    ) -> IPInterface:
        body = {"PoolID": pool, "Address": str(wanted or ""), "Options": dict(options)}
        given = await self._plugin.call(
            "IpamDriver.RequestAddress", body, wire.GivenAddress, self._patience
        )
        if not given.Address:
            raise Lie(self._who, "gave no address")
        found = wire.interface(self._who, given.Address)
        if wanted is not None and found.ip != wanted:
            await self._release(pool, found.ip)
            raise Lie(self._who, f"gave {found.ip} when asked for {wanted}")
        return found

    async def _release(self, pool: str, address: IPAddress) -> None:
        body = {"PoolID": pool, "Address": str(address)}
        await self._plugin.call("IpamDriver.ReleaseAddress", body, wire.Said, self._patience)

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """With its gateway and the addresses that were set aside."""
        held = [*pool.auxiliary.values(), *([pool.gateway] if pool.gateway else [])]
        refused: list[FairleadError] = []
        for address in held:
            try:
                await self._release(pool.id, address)
            except Refusal as error:
                refused.append(error)
        body = {"PoolID": pool.id}
        await self._plugin.call("IpamDriver.ReleasePool", body, wire.Said, self._patience)
        if refused:
            raise refused[0]

    async def _back(self, net: Network, pool: Pool) -> None:
        """Take back a pool of a network that will not be; what cannot be is lost to the plugin."""
        try:
            await self.release_pool(net, pool)
        except FairleadError:
            # The reason why the network will not be is told; this one follows from it.
            return

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """From the first pool that has one, or the one that was asked for."""
        options = await self._options(request.mac or ep.mac)
        found: list[tuple[Pool, IPInterface]] = []
        try:
            for version, text in ((4, request.ipv4), (6, request.ipv6)):
                pools = [p for p in net.pools if p.subnet.version == version]
                if pools:
                    wanted = wire.address(self._who, text) if text else None
                    found.append(await self._from(pools, wanted, options))
        except BaseException:
            for pool, address in found:
                await self._release(pool.id, address.ip)
            raise
        return tuple(address for _, address in found)

    async def _from(
        self, pools: list[Pool], wanted: IPAddress | None, options: Mapping[str, str]
    ) -> tuple[Pool, IPInterface]:
        last: FairleadError | None = None
        for pool in pools:
            if wanted is not None and wanted not in pool.subnet:
                continue
            try:
                found = await self._address(pool.id, wanted, options)
            except Refusal as error:
                last = error
                continue
            if found.ip not in pool.subnet:
                await self._release(pool.id, found.ip)
                raise Lie(self._who, f"gave {found.ip}, which is not in {pool.subnet}")
            return pool, found
        raise last or Forbidden(f"no pool of the network contains {wanted}")

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """To the pool that it is of."""
        pool = next((p for p in net.pools if address.ip in p.subnet), None)
        if pool is not None:
            await self._release(pool.id, address.ip)


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def _said(pool: Pool) -> PoolRequest:
    return PoolRequest(str(pool.subnet), str(pool.ip_range or ""))
