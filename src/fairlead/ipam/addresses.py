"""The addresses of an endpoint: the ones asked for, else the lowest that are free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_interface

from fairlead.ipam.bitmap import first_free, parse, reserved
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Failed, Forbidden, Invalid
from fairlead.model.hold import Holds
from fairlead.model.network import Network, Pool
from fairlead.model.options import REPLY_SAME_WAY, endpoint_sysctls, flag
from fairlead.model.prefixes import PUBLISH_FROM, listed
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.world import Taken

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


Names = Callable[[str], str]
"""Who an endpoint is, by its id."""


def assign(
    network: Network,
    request: EndpointRequest,
    taken: Mapping[int, Taken],
    *,
    held: Holds | None = None,
    container: str = "",
    name: Names = lambda id_: id_[:12],
) -> tuple[IPInterface, ...]:
    """One address of each family that the network has pools for.

    `taken` has the addresses of endpoints by IP version. `held` are addresses
    of containers that do not run; `container` gets its own back, and others'
    only when nothing else is left. Raises AddressInUse, PoolFull, or Invalid
    for an address outside every pool.
    """
    wanted = {4: parse(request.ipv4), 6: parse(request.ipv6)}
    found = []
    for version in (4, 6):
        pools = [pool for pool in network.pools if pool.subnet.version == version]
        here, address = taken.get(version, {}), wanted[version]
        if pools and address is not None:
            found.append(_asked(pools, address, here, name))
        elif pools:
            found.append(_chosen(network, pools, here, held or {}, container))
    return tuple(found)


def _kept(pool: Pool) -> dict[IPAddress, str]:
    """The addresses of a pool that are no container's."""
    kept = {a: f"the network ({name})" for name, a in pool.auxiliary.items()}
    kept |= dict.fromkeys(reserved(pool.subnet), "the subnet itself")
    if pool.gateway is not None:
        kept[pool.gateway] = "the gateway"
    return kept


def _asked(pools: list[Pool], wanted: IPAddress, taken: Taken, name: Names) -> IPInterface:
    """The address that was asked for, if nobody has it."""
    for pool in pools:
        if wanted in pool.subnet:
            kept, holder = _kept(pool).get(wanted), taken.get(int(wanted))
            if kept or holder:
                raise AddressInUse(wanted, kept or name(holder or ""))
            return ip_interface(f"{wanted}/{pool.subnet.prefixlen}")
    raise Invalid(
        "invalid endpoint settings:\n"
        f"no configured subnet or ip-range contain the IP address {wanted}"
    )


def _chosen(
    network: Network, pools: list[Pool], taken: Taken, held: Holds, container: str
) -> IPInterface:
    """An address of our choice: the one it had, else the lowest that nobody may want back."""
    mine = [a for a, hold in held.items() if hold.container == container and not hold.fixed]
    theirs = {a: hold for a, hold in held.items() if hold.container != container}
    fixed = {a for a, hold in theirs.items() if hold.fixed}
    for avoided in (theirs.keys(), fixed):
        for pool in pools:
            others = {int(address) for address in (*_kept(pool), *avoided)}
            again = (a for a in mine if a in (pool.ip_range or pool.subnet))
            address = next((a for a in again if int(a) not in others and int(a) not in taken), None)
            address = address or first_free(pool.subnet, pool.ip_range, taken, others)
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
    hint = ""
    for check in (endpoint_sysctls, _check_callers, _check_flags):
        try:
            check(request.options)
        except Invalid as error:
            faults.append(error.message)
            hint = error.hint
    if faults:
        lines = faults if len(faults) == 1 else [f"* {fault}" for fault in faults]
        raise Invalid("invalid endpoint settings:\n" + "\n".join(lines), hint=hint)
    if request.mac:
        check_mac(request.mac)


def _check_flags(options: Mapping[str, str]) -> None:
    flag(options, REPLY_SAME_WAY, False)


def _check_callers(options: Mapping[str, str]) -> None:
    if PUBLISH_FROM in options:
        listed(options[PUBLISH_FROM], PUBLISH_FROM)


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
    if network.leased and version == 4:
        # Whether it can be had only the server knows.
        return faults
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
