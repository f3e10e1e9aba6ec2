"""What users of the library ask for, as the controller takes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Protocol

from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Invalid
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.options import ENDPOINT_IFNAME, MTU
from fairlead.model.state import IPAddress, IPNetwork

Subnet = str | IPNetwork
Address = str | IPAddress


class Named(Protocol):
    """Something with an identity."""

    @property
    def id(self) -> str: ...


def network_request(
    name: str,
    subnet: Subnet | Iterable[Subnet] = (),
    gateway: Address | Iterable[Address] = (),
    *,
    internal: bool,
    ipv4: bool,
    ipv6: bool,
    mtu: int | None,
    labels: Mapping[str, str] | None,
    options: Mapping[str, str] | None,
) -> NetworkRequest:
    """A network to be. Raises Invalid for a gateway that is in none of the subnets."""
    more = {} if mtu is None else {MTU: str(mtu)}
    return NetworkRequest(
        name=name,
        pools=_pools(_texts(subnet), _texts(gateway)),
        options={**(options or {}), **more},
        labels=dict(labels or {}),
        internal=internal,
        enable_ipv4=ipv4,
        enable_ipv6=ipv6,
        decided=frozenset(v for v, said in ((4, not ipv4), (6, ipv6)) if said),
    )


def ref(network: Named | str) -> str:
    """What the controller knows a network by."""
    return network if isinstance(network, str) else network.id


def endpoint_request(
    *,
    aliases: Sequence[str] = (),
    ip: Address | Iterable[Address] = (),
    mac: str = "",
    interface: str = "",
    priority: int = 0,
    options: Mapping[str, str] | None = None,
) -> EndpointRequest:
    """A place in a network. Raises Invalid for what is no address."""
    if isinstance(aliases, str):
        raise Invalid(f"aliases are a list, not {aliases!r}", hint=f"aliases=[{aliases!r}]")
    found: dict[int, str] = {}
    for text in _texts(ip):
        try:
            found[ip_address(text).version] = text
        except ValueError:
            raise Invalid(f"invalid IP address {text!r}") from None
    more = {ENDPOINT_IFNAME: interface} if interface else {}
    return EndpointRequest(
        ipv4=found.get(4, ""),
        ipv6=found.get(6, ""),
        mac=mac,
        aliases=tuple(aliases),
        options={**(options or {}), **more},
        priority=priority,
    )


def _texts(given: Subnet | Address | Iterable[Subnet | Address]) -> list[str]:
    if isinstance(given, str):
        return [given] if given else []
    if isinstance(given, IPNetwork | IPAddress):
        return [str(given)]
    return [str(each) for each in given]


def _pools(subnets: Sequence[str], gateways: Sequence[str]) -> tuple[PoolRequest, ...]:
    left = list(gateways)
    found = []
    for subnet in subnets:
        mine = next((text for text in left if _in(text, subnet)), "")
        if mine:
            left.remove(mine)
        found.append(PoolRequest(subnet, gateway=mine))
    if left:
        raise Invalid(f"gateway {left[0]} is in none of the subnets")
    return tuple(found)


def _in(address: str, subnet: str) -> bool:
    try:
        return ip_address(address) in ip_network(subnet, strict=False)
    except ValueError:
        # Whatever is no subnet the controller refuses in its words.
        return False
