"""What is said to plugins and what they answer, as values. Pure.

Answers are read strictly: a value of the wrong kind is a lie, a field that nobody knows is
passed over, `null` is as good as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_interface
from typing import Any, TypeVar

import msgspec

from fairlead.controller.facts import Lie
from fairlead.model.endpoint import Endpoint, PortRequest, StaticRoute
from fairlead.model.network import Network, Pool
from fairlead.model.options import IFNAMSIZ
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPInterface

Json = dict[str, Any]
A = TypeVar("A", bound="Said")

GENERIC = "com.docker.network.generic"
GATEWAY = "com.docker.network.gateway"
MAC = "com.docker.network.endpoint.macaddress"
PORTS = {
    "exposed": "com.docker.network.endpoint.exposedports",
    "mapped": "com.docker.network.portmap",
}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
LINK = re.compile(rf"[^\s/:\x00]{{1,{IFNAMSIZ}}}")
STEM = re.compile(r"[A-Za-z0-9_.-]{1,12}")
MOST_ROUTES = 256


class Said(msgspec.Struct):
    """Any answer: an error in it says no."""

    Err: str | None = None
    Error: str | None = None
    """What IPAM drivers call it."""

    @property
    def refusal(self) -> str:
        return self.Err or self.Error or ""


class Manifest(Said):
    """What a plugin is for."""

    Implements: list[str] | None = None


class Capabilities(Said):
    """Of a driver."""

    Scope: str | None = None
    ConnectivityScope: str | None = None
    GwAllocChecker: bool | None = None


class Skips(Said):
    """Which gateways a driver does without."""

    SkipIPv4: bool | None = None
    SkipIPv6: bool | None = None


class Interface(msgspec.Struct):
    """What a driver decided of an endpoint."""

    Address: str | None = None
    AddressIPv6: str | None = None
    MacAddress: str | None = None


class Made(Said):
    """An endpoint that was created."""

    Interface: Interface | None = None


class InterfaceName(msgspec.Struct):
    """The link to be moved."""

    SrcName: str | None = None
    DstName: str | None = None
    DstPrefix: str | None = None


class Route(msgspec.Struct):
    """A way that a driver wants in the sandbox: type 0 leads through a next hop, 1 is on link."""

    Destination: str | None = None
    RouteType: int | None = None
    NextHop: str | None = None


class Joined(Said):
    """What an endpoint is in its sandbox."""

    InterfaceName: InterfaceName | None = None
    Gateway: str | None = None
    GatewayIPv6: str | None = None
    StaticRoutes: list[Route] | None = None
    DisableGatewayService: bool | None = None


class Info(Said):
    """What a driver tells of an endpoint."""

    Value: dict[str, Any] | None = None


class IpamCapabilities(Said):
    """Of an IPAM driver."""

    RequiresMACAddress: bool | None = None
    RequiresRequestReplay: bool | None = None


class Spaces(Said):
    """The address spaces of an IPAM driver."""

    LocalDefaultAddressSpace: str | None = None
    GlobalDefaultAddressSpace: str | None = None


class GivenPool(Said):
    """A pool."""

    PoolID: str | None = None
    Pool: str | None = None
    Data: dict[str, str] | None = None


class GivenAddress(Said):
    """An address with its prefix."""

    Address: str | None = None
    Data: dict[str, str] | None = None


def read(who: str, call: str, body: bytes, kind: type[A]) -> A:
    """An answer. Raises Lie."""
    if not body.strip():
        return kind()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Lie(who, f"answered {call} with something else than it should: {error}") from error


def network_options(net: Network) -> Json:
    """What a driver is told of a network besides its addresses."""
    found: Json = {
        GENERIC: dict(net.options),
        "com.docker.network.enable_ipv4": net.enable_ipv4,
        "com.docker.network.enable_ipv6": net.enable_ipv6,
    }
    if net.internal:
        found["com.docker.network.internal"] = True
    return found


def network(net: Network) -> Json:
    """The body of CreateNetwork."""
    return {
        "NetworkID": net.id,
        "Options": network_options(net),
        "IPv4Data": _pools(net, 4),
        "IPv6Data": _pools(net, 6),
    }


def _pools(net: Network, version: int) -> list[Json]:
    if net.ipam_driver == "null" and version == 4:
        return [{"AddressSpace": "null", "Pool": "0.0.0.0/0"}]
    return [_pool(pool) for pool in net.pools if pool.subnet.version == version]


def _pool(pool: Pool) -> Json:
    length = pool.subnet.prefixlen
    found: Json = {"AddressSpace": pool.space or "LocalDefault", "Pool": str(pool.subnet)}
    if pool.gateway is not None:
        found["Gateway"] = f"{pool.gateway}/{length}"
    if pool.auxiliary:
        found["AuxAddresses"] = {name: f"{a}/{length}" for name, a in pool.auxiliary.items()}
    return found


def port_options(box: Sandbox, publish: Sequence[PortRequest]) -> Json:
    """Which ports are to be open, in the words of both lists."""
    exposed = [{"Proto": PROTOCOLS.get(p, 0), "Port": number} for p, number in box.exposed]
    return {PORTS["exposed"]: exposed, PORTS["mapped"]: port_map(publish)}


def port_map(publish: Sequence[PortRequest]) -> list[Json]:
    """The ports that are to be published."""
    return [
        {
            "Proto": PROTOCOLS.get(p.protocol, 0),
            "IP": "",
            "Port": p.container_port,
            "HostIP": p.host_ip,
            "HostPort": p.host_port,
            "HostPortEnd": max(p.host_port_end, p.host_port),
        }
        for p in publish
    ]


def endpoint(net: Network, box: Sandbox, ep: Endpoint, publish: Sequence[PortRequest]) -> Json:
    """The body of CreateEndpoint."""
    options: Json = {**ep.options, **port_options(box, publish)}
    if ep.mac:
        options[MAC] = ep.mac
    return {
        **ids(net, ep),
        "Interface": {
            "Address": str(ep.ipv4 or ""),
            "AddressIPv6": str(ep.ipv6 or ""),
            "MacAddress": ep.mac,
        },
        "Options": options,
    }


def ids(net: Network, ep: Endpoint) -> Json:
    """What most calls say."""
    return {"NetworkID": net.id, "EndpointID": ep.id}


def address(who: str, text: str) -> IPAddress:
    """An address out of an answer. Raises Lie."""
    try:
        return ip_address(text)
    except ValueError:
        raise Lie(who, f"{text[:60]!r} is no address") from None


def interface(who: str, text: str, version: int = 0) -> IPInterface:
    """An address with its prefix. Raises Lie."""
    try:
        found = ip_interface(text)
    except ValueError:
        raise Lie(who, f"{text[:60]!r} is no address with a prefix") from None
    if "/" not in text or found.version != (version or found.version):
        raise Lie(who, f"{text[:60]!r} is no IPv{version or found.version} address with a prefix")
    return found


def mac(who: str, text: str) -> str:
    """A MAC address that an interface can have. Raises Lie."""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or not all(re.fullmatch("[0-9a-f]{2}", part) for part in parts):
        raise Lie(who, f"{text[:60]!r} is no MAC address")
    if int(parts[0], 16) & 1 or set(parts) == {"00"}:
        raise Lie(who, f"{text} is not the MAC address of one interface")
    return ":".join(parts)


def link(who: str, text: str) -> str:
    """The name of an interface. Raises Lie."""
    if not LINK.fullmatch(text) or text in (".", ".."):
        raise Lie(who, f"{text[:60]!r} is no name of an interface")
    return text


def prefix(who: str, text: str) -> str:
    """What an interface is to be called but for its number. Raises Lie."""
    if text and not STEM.fullmatch(text):
        raise Lie(who, f"{text[:60]!r} cannot be the start of an interface's name")
    return text


def routes(who: str, given: Sequence[Route]) -> tuple[StaticRoute, ...]:
    """The routes of an answer. Raises Lie."""
    if len(given) > MOST_ROUTES:
        raise Lie(who, f"wants {len(given)} routes; {MOST_ROUTES} are the most")
    found = []
    for route in given:
        destination = interface(who, route.Destination or "").network
        via = address(who, route.NextHop) if route.NextHop else None
        if route.RouteType not in (None, 0, 1):
            raise Lie(who, f"{route.RouteType} is no type of a route")
        if route.RouteType == 1:
            via = None
        elif via is None:
            raise Lie(who, f"wants a route to {destination} without saying through whom")
        if via is not None and via.version != destination.version:
            raise Lie(who, f"wants a route to {destination} through {via}")
        found.append(StaticRoute(destination, via))
    return tuple(found)


def told(value: Mapping[str, Any]) -> dict[str, str]:
    """What a driver tells of an endpoint, as text."""
    found = {}
    for key, given in list(value.items())[:64]:
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
        found[str(key)[:256]] = text[:1024]
    return found
