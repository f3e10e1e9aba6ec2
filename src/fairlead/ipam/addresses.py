"""The addresses of an endpoint: the ones asked for, else the lowest that are free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_interface

from fairlead.ipam.bitmap import first_free, parse, reserved
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Failed, Forbidden, Invalid
from fairlead.model.hold import Holds
from fairlead.model.network import Network, Pool
from fairlead.model.options import endpoint_sysctls
from fairlead.model.state import IPAddress, IPInterface

ONLY_USER_DEFINED = "user specified IP address is supported on user defined networks only"
ONLY_WITH_SUBNET = (
    "user specified IP address is supported only when connecting to networks "
    "with user configured subnets"
)


class AddressInUse(Forbidden):
    """Somebody holds the address that was asked for."""

    def __init__(self, address: IPAddress, holder: str) -> None:
        super().__init__("Address already in use", hint=f"{address} belongs to {holder}")


class PoolFull(Failed):
    """No address is left."""

    def __init__(self, network: Network, version: int) -> None:
        super().__init__(
            f"no available IPv{version} addresses on this network's address pools: "
            f"{network.name} ({network.id})",
            hint="remove containers from it, or make a network with a larger --subnet",
        )


def _short_id(endpoint: Endpoint) -> str:
    return endpoint.id[:12]


def assign(
    network: Network,
    request: EndpointRequest,
    others: Iterable[Endpoint],
    *,
    held: Holds | None = None,
    container: str = "",
    name: Callable[[Endpoint], str] = _short_id,
) -> tuple[IPInterface, ...]:
    """One address of each family that the network has pools for.

    `held` are addresses of containers that do not run; `container` gets its own
    back, and others' only when nothing else is left. `name` says who an
    endpoint is. Raises AddressInUse, PoolFull, or Invalid for an address
    outside every pool.
    """
    wanted = {4: parse(request.ipv4), 6: parse(request.ipv6)}
    holders = {a.ip: name(e) for e in others for a in e.addresses}
    found = []
    for version in (4, 6):
        pools = [pool for pool in network.pools if pool.subnet.version == version]
        address = wanted[version]
        if pools and address is not None:
            found.append(_asked(pools, address, holders))
        elif pools:
            found.append(_chosen(network, pools, holders, held or {}, container))
    return tuple(found)


def _kept(pool: Pool) -> dict[IPAddress, str]:
    """The addresses of a pool that are no container's."""
    kept = {a: f"the network ({name})" for name, a in pool.auxiliary.items()}
    if pool.gateway is not None:
        kept[pool.gateway] = "the gateway"
    return kept


def _asked(pools: list[Pool], wanted: IPAddress, holders: Mapping[IPAddress, str]) -> IPInterface:
    """The address that was asked for, if nobody has it."""
    for pool in pools:
        if wanted not in pool.subnet:
            continue
        taken = {**holders, **_kept(pool)}
        if wanted in reserved(pool.subnet):
            raise AddressInUse(wanted, "the subnet itself")
        if wanted in taken:
            raise AddressInUse(wanted, taken[wanted])
        return ip_interface(f"{wanted}/{pool.subnet.prefixlen}")
    raise Invalid(
        "invalid endpoint settings:\n"
        f"no configured subnet or ip-range contain the IP address {wanted}"
    )


def _chosen(
    network: Network,
    pools: list[Pool],
    holders: Mapping[IPAddress, str],
    held: Holds,
    container: str,
) -> IPInterface:
    """An address of our choice: the one it had, else the lowest that nobody may want back."""
    mine = [a for a, hold in held.items() if hold.container == container and not hold.fixed]
    theirs = {a: hold for a, hold in held.items() if hold.container != container}
    fixed = {a for a, hold in theirs.items() if hold.fixed}
    for avoided in (theirs.keys(), fixed):
        for pool in pools:
            taken = {*holders, *_kept(pool), *avoided}
            again = (a for a in mine if a in (pool.ip_range or pool.subnet) and a not in taken)
            address = next(again, None) or first_free(pool.subnet, pool.ip_range, taken)
            if address is not None:
                return ip_interface(f"{address}/{pool.subnet.prefixlen}")
    raise PoolFull(network, pools[0].subnet.version)


def check_endpoint(network: Network, request: EndpointRequest) -> None:
    """Whether the request makes sense on that network; Invalid names every fault."""
    faults: list[str] = []
    if not network.user_defined and network.driver == "bridge":
        if request.ipv4 or request.ipv6:
            faults += [ONLY_USER_DEFINED, ONLY_WITH_SUBNET]
        if request.aliases:
            faults.append(
                "network-scoped alias is supported only for containers in user defined networks"
            )
    else:
        faults += _address_faults(network, request.ipv4, 4)
        faults += _address_faults(network, request.ipv6, 6)
    for text in request.link_local:
        address = parse(text)
        if address is None or not address.is_link_local:
            faults.append(f"invalid link-local IP address: {text}")
    try:
        endpoint_sysctls(request.options)
    except Invalid as error:
        faults.append(error.message)
    if faults:
        lines = faults if len(faults) == 1 else [f"* {fault}" for fault in faults]
        raise Invalid("invalid endpoint settings:\n" + "\n".join(lines))
    if request.mac:
        check_mac(request.mac)


def link_local(request: EndpointRequest) -> tuple[IPInterface, ...]:
    """The link-local addresses that were asked for, in 169.254.0.0/16 or fe80::/10."""
    prefixes = {4: 16, 6: 10}
    found = (ip_address(text) for text in request.link_local)
    return tuple(ip_interface(f"{address}/{prefixes[address.version]}") for address in found)


def _address_faults(network: Network, text: str, version: int) -> list[str]:
    if not text:
        return []
    address = parse(text)
    faults = []
    if address is None or address.version != version:
        faults.append(f"invalid IPv{version} address: {text}")
    pools = [p for p in network.pools if p.subnet.version == version]
    if not pools:
        faults.append(ONLY_WITH_SUBNET)
    elif not any(address is not None and address in pool.subnet for pool in pools):
        faults.append(f"no configured subnet or ip-range contain the IP address {text}")
    return faults


def check_mac(text: str) -> str:
    """A MAC address in lower case with colons. Raises Invalid."""
    parts = text.lower().replace("-", ":").split(":")
    good = len(parts) == 6 and all(
        len(p) == 2 and all(c in "0123456789abcdef" for c in p) for p in parts
    )
    if not good:
        raise Invalid(f"invalid MAC address {text}")
    return ":".join(parts)
