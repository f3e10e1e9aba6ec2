"""Networks in Docker's spelling, both ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fairlead.api.times import rfc3339
from fairlead.api.versions import Version
from fairlead.controller import gateway
from fairlead.engine.documents import EndpointSettings, IpamConfig, read
from fairlead.ipam.usage import usage
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Invalid
from fairlead.model.network import Network, NetworkRequest, Pool, PoolRequest
from fairlead.model.peer import Peer
from fairlead.model.state import IPInterface
from fairlead.model.world import World

Json = dict[str, Any]

SPLIT = Version(1, 52)
"""Since then a list does not mention who is there, and one network says how full it is."""


class IPAMConfig(msgspec.Struct):
    """One subnet of a request."""

    Subnet: str | None = None
    IPRange: str | None = None
    Gateway: str | None = None
    AuxiliaryAddresses: dict[str, str] | None = None
    AuxAddress: dict[str, str] | None = None


class IPAM(msgspec.Struct):
    """Where the addresses of a network to be come from."""

    Driver: str | None = None
    Options: dict[str, str] | None = None
    Config: list[IPAMConfig] | None = None


class ConfigReference(msgspec.Struct):
    """The network whose settings are taken over."""

    Network: str | None = None


class NetworkCreate(msgspec.Struct):
    """Body of POST /networks/create."""

    Name: str | None = None
    CheckDuplicate: bool | None = None
    Driver: str | None = None
    Scope: str | None = None
    EnableIPv4: bool | None = None
    EnableIPv6: bool | None = None
    IPAM: IPAM | None = None
    Internal: bool | None = None
    Attachable: bool | None = None
    Ingress: bool | None = None
    ConfigOnly: bool | None = None
    ConfigFrom: ConfigReference | None = None
    Options: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


class Connect(msgspec.Struct):
    """Body of POST /networks/{id}/connect."""

    Container: str | None = None
    EndpointConfig: dict[str, Any] | None = None


class Disconnect(msgspec.Struct):
    """Body of POST /networks/{id}/disconnect."""

    Container: str | None = None
    Force: bool | None = None


def _pool(given: IPAMConfig) -> PoolRequest:
    auxiliary = given.AuxiliaryAddresses or given.AuxAddress or {}
    return PoolRequest(
        given.Subnet or "", given.IPRange or "", given.Gateway or "", dict(auxiliary)
    )


def network_request(given: NetworkCreate, version: Version) -> NetworkRequest:
    """A body as a request. What an API version does not know is not asked for."""
    ipam = given.IPAM or IPAM()
    ipv4 = True if given.EnableIPv4 is None or version < Version(1, 48) else given.EnableIPv4
    reference = given.ConfigFrom.Network if given.ConfigFrom else None
    said = {4: given.EnableIPv4 if version >= Version(1, 48) else None, 6: given.EnableIPv6}
    return NetworkRequest(
        name=(given.Name or "").strip(),
        driver=given.Driver or "bridge",
        pools=tuple(_pool(c) for c in ipam.Config or ()),
        options=given.Options or {},
        labels=given.Labels or {},
        ipam_driver=ipam.Driver or "default",
        ipam_options=ipam.Options,
        internal=bool(given.Internal),
        attachable=bool(given.Attachable),
        ingress=bool(given.Ingress),
        enable_ipv4=ipv4,
        enable_ipv6=bool(given.EnableIPv6),
        scope=given.Scope or "",
        config_only=bool(given.ConfigOnly),
        config_from=reference or "",
        decided=frozenset(family for family, on in said.items() if on is not None),
    )


def endpoint_settings(given: Json | None, version: Version) -> Json | None:
    """Settings without what the version does not know."""
    if given is None:
        return None
    unknown = {"MacAddress"} if version < Version(1, 44) else set()
    if version < Version(1, 48):
        unknown.add("GwPriority")
    return {key: value for key, value in given.items() if key not in unknown}


def endpoint_request(settings: Json | None) -> EndpointRequest:
    """Settings as the controller takes them. Raises Invalid."""
    asked = read(settings, EndpointSettings)
    ipam = asked.ipam_config or IpamConfig()
    return EndpointRequest(
        ipv4=ipam.ipv4_address,
        ipv6=ipam.ipv6_address,
        mac=asked.mac_address,
        aliases=tuple(asked.aliases or ()),
        links=tuple(asked.links or ()),
        link_local=tuple(ipam.link_local_ips or ()),
        options=asked.driver_opts or {},
        priority=asked.gw_priority,
    )


def _ipam_config(pool: Pool) -> Json:
    config: Json = {"Subnet": str(pool.subnet)}
    if pool.ip_range is not None:
        config["IPRange"] = str(pool.ip_range)
    if pool.gateway is not None:
        config["Gateway"] = str(pool.gateway)
    if pool.auxiliary:
        config["AuxiliaryAddresses"] = {k: str(v) for k, v in sorted(pool.auxiliary.items())}
    return config


def _member(endpoint: Endpoint, name: str) -> Json:
    return {
        "Name": name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac if endpoint.cable else "",
        "IPv4Address": str(endpoint.ipv4 or ""),
        "IPv6Address": str(endpoint.ipv6 or ""),
    }


def _peer(peer: Peer) -> Json:
    four = next((a for a in peer.addresses if a.version == 4), "")
    six = next((a for a in peer.addresses if a.version == 6), "")
    return {
        "Name": peer.name,
        "EndpointID": peer.id,
        "MacAddress": peer.mac,
        "IPv4Address": str(four),
        "IPv6Address": str(six),
    }


def members(world: World, network: Network) -> Json:
    """The containers on a network, by id; of other hosts only the endpoints are known."""
    found = {}
    for endpoint in world.on_network(network.id):
        sandbox = world.sandboxes[endpoint.sandbox]
        name = gateway.name(sandbox) if endpoint.service else sandbox.name
        # The host itself is no container.
        whose = f"ep-{endpoint.id}" if sandbox.access else sandbox.container
        found[whose] = _member(endpoint, name)
    for peer in world.afar(network.id).values():
        found[f"ep-{peer.id}"] = _peer(peer)
    return dict(sorted(found.items()))


def network_json(network: Network, version: Version, containers: Json | None = None) -> Json:
    """A network as a client of that version expects it; without `containers`, as in a list."""
    ipv4 = {"EnableIPv4": network.enable_ipv4} if version >= Version(1, 48) else {}
    found: Json = {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": str(network.scope),
        "Driver": network.driver,
        **ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": network.ipam_options,
            "Config": [_ipam_config(p) for p in network.pools] or None,
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
    }
    words: Json = {
        "Options": dict(sorted(network.options.items())),
        "Labels": dict(sorted(network.labels.items())),
    }
    if version < SPLIT:
        return {**found, "Containers": containers or {}, **words}
    return {**found, **words, **({} if containers is None else {"Containers": containers})}


def _addresses(world: World, network: Network) -> Iterator[IPInterface]:
    for endpoint in world.on_network(network.id):
        yield from endpoint.addresses
    for peer in world.afar(network.id).values():
        yield from peer.addresses


def status_json(world: World, network: Network) -> Json:
    """How full a network's pools are."""
    held = [a.ip for a in _addresses(world, network)]
    subnets = {}
    for pool in network.pools:
        found = usage(pool, held)
        subnets[str(pool.subnet)] = {
            "IPsInUse": found.used,
            "DynamicIPsAvailable": found.available,
        }
    return {"IPAM": {"Subnets": subnets}} if subnets else {"IPAM": {}}


def inspected(world: World, network: Network, version: Version) -> Json:
    """One network with everything about it."""
    found = network_json(network, version, members(world, network))
    return found if version < SPLIT else {**found, "Status": status_json(world, network)}


def listed(world: World, networks: Iterable[Network], version: Version) -> list[Json]:
    """Networks as a list; who is on them was part of it only before API 1.28."""
    with_members = version < Version(1, 28)
    return [network_json(n, version, members(world, n) if with_members else None) for n in networks]


def container_reference(given: str | None) -> str:
    """The container that a connect or disconnect names. Raises Invalid."""
    if not given:
        raise Invalid('invalid name or ID supplied: ""')
    return given
