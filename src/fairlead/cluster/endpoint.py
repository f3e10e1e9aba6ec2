"""Endpoints as Docker 20.10 writes them: to it from ours, and from anybody's to a peer."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.cluster.network import pool_text
from fairlead.cluster.text import (
    MOST_RECORD_BYTES,
    Fields,
    decoded,
    encoded,
    flag_of,
    host_of,
    interface_of,
    list_of,
    mac_of,
    name_of,
    object_of,
    plain,
    text_of,
)
from fairlead.model.endpoint import Endpoint, PortRequest
from fairlead.model.errors import Invalid
from fairlead.model.network import Network, Pool
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPInterface

EXPOSED = "com.docker.network.endpoint.exposedports"
PUBLISHED = "com.docker.network.portmap"
ACCESS = "fairlead.host_access"
"""Among what drivers know of an endpoint: that it is the host itself."""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
SHORT_ID = 12


def decode_endpoint(network: str, id_: str, value: bytes) -> Peer:
    """The record of the endpoint with that id as a peer. Raises Invalid with what is wrong."""
    fields = decoded(value)
    if fields.get("id") != id_:
        raise Invalid("the endpoint's id is not that of its key")
    iface = object_of(fields, "ep_iface")
    aliases = [each for each in list_of(fields, "myAliases") if each != ""]
    return Peer(
        id=id_,
        network=network,
        host=host_of(text_of(fields, "locator"), "locator"),
        mac=mac_of(text_of(iface, "mac"), "mac") if iface.get("mac") else "",
        addresses=_addresses(iface),
        name=plain(name_of(fields, "name"), "name"),
        aliases=tuple(dict.fromkeys(_alias(each) for each in aliases)),
        anonymous=flag_of(fields, "anonymous"),
        access=flag_of(object_of(fields, "generic"), ACCESS),
    )


def misplaced(peer: Peer, network: Network) -> str | None:
    """Why a peer cannot be where it says it is in its network; None if it can."""
    if network.driver != "overlay":
        return _outside(peer, network)
    if not peer.mac:
        return "the endpoint has no MAC address"
    for address in peer.addresses:
        # In numbers: to compare networks as objects takes ten times as long.
        number, size = int(address), address.network.prefixlen
        pool = next((pool for pool in network.pools if _within(number, size, address, pool)), None)
        if pool is None:
            return f"the address {address} is in none of the network's pools"
        if pool.gateway is not None and number == int(pool.gateway):
            return f"the address {address} is the network's gateway"
        if pool.auxiliary and address.ip in pool.auxiliary.values():
            return f"the address {address} is kept back for something else"
        if size < pool.subnet.max_prefixlen - 1 and (
            number == int(pool.subnet.network_address)
            or (address.version == 4 and number == int(pool.subnet.broadcast_address))
        ):
            return f"the address {address} is no host's"
    return None


def _outside(peer: Peer, network: Network) -> str | None:
    """The same where a plugin says how addresses are used: any of the network's will do."""
    for address in peer.addresses:
        pools = [pool for pool in network.pools if pool.subnet.version == address.version]
        if pools and not any(address.ip in pool.subnet for pool in pools):
            return f"the address {address} is in none of the network's pools"
        if any(address.ip == pool.gateway for pool in pools):
            return f"the address {address} is the network's gateway"
    return None


def _within(number: int, size: int, address: IPInterface, pool: Pool) -> bool:
    """Whether an address is of a pool's very subnet."""
    subnet = pool.subnet
    return (
        subnet.prefixlen == size
        and subnet.version == address.version
        and number & int(subnet.netmask) == int(subnet.network_address)
    )


def encode_endpoint(
    network: Network,
    endpoint: Endpoint,
    sandbox: Sandbox,
    host: IPAddress,
    *,
    anonymous: bool = False,
    rest: Mapping[str, object] | None = None,
) -> bytes:
    """An endpoint of this host (its address is `host`) as Docker writes it.

    Raises Invalid for what other hosts would refuse. With `rest` it is another version of
    a record that says more than we know.
    """
    exposed = [{"Proto": PROTOCOLS[protocol], "Port": port} for protocol, port in sandbox.exposed]
    published = [_published(each) for each in sandbox.publish]
    fields: dict[str, object] = {
        "disableResolution": False,
        "ingressPorts": None,
        "joinInfo": {"StaticRoutes": None, "disableGatewayService": False},
        "loadBalancer": False,
        "svcAliases": None,
        "svcID": "",
        "svcName": "",
        "virtualIP": "<nil>",
        **(rest or {}),
        "anonymous": anonymous,
        "ep_iface": _iface(network, endpoint, object_of(rest or {}, "ep_iface")),
        "exposed_ports": exposed,
        "generic": {
            **object_of(rest or {}, "generic"),
            EXPOSED: exposed,
            PUBLISHED: published,
            **({ACCESS: True} if sandbox.access else {}),
        },
        "id": endpoint.id,
        "locator": str(host),
        "myAliases": [plain(alias, "alias") for alias in aliases(endpoint, sandbox)],
        "name": plain(sandbox.name, "name"),
        "sandbox": sandbox.id,
    }
    value = encoded(dict(sorted(fields.items())))
    if len(value) > MOST_RECORD_BYTES:
        raise Invalid(f"the endpoint's record has {len(value)} bytes, more than other hosts read")
    return value


def as_peer(network: Network, endpoint: Endpoint, sandbox: Sandbox, host: IPAddress) -> Peer:
    """An endpoint of this host as others see it: what its record is read as."""
    return Peer(
        id=endpoint.id,
        network=network.id,
        host=host,
        mac=endpoint.mac.lower(),
        addresses=tuple(a for a in (endpoint.ipv4, endpoint.ipv6) if a is not None),
        name=sandbox.name,
        aliases=aliases(endpoint, sandbox),
        access=sandbox.access,
    )


def aliases(endpoint: Endpoint, sandbox: Sandbox) -> tuple[str, ...]:
    """What an endpoint is called beside its name, as Docker lists it."""
    found = [*endpoint.aliases, sandbox.container[:SHORT_ID], sandbox.hostname]
    return tuple(dict.fromkeys(each for each in found if each and each != sandbox.name))


def _iface(network: Network, endpoint: Endpoint, rest: Fields) -> dict[str, object]:
    fields: dict[str, object] = {
        "dstPrefix": "eth",
        "routes": None,
        **rest,
        "srcName": endpoint.ifname,
        "v4PoolID": _pool_of(network, endpoint.ipv4),
        "v6PoolID": _pool_of(network, endpoint.ipv6),
    }
    if endpoint.mac:
        # Docker reads no record in which it is empty.
        fields["mac"] = endpoint.mac
    for name, address in (("addr", endpoint.ipv4), ("addrv6", endpoint.ipv6)):
        if address is not None:
            fields[name] = str(address)
    if endpoint.link_local:
        fields["llAddrs"] = [str(each) for each in endpoint.link_local]
    return dict(sorted(fields.items()))


def _pool_of(network: Network, address: IPInterface | None) -> str:
    """The id of the pool that an address came from."""
    if address is None:
        return ""
    inside: list[Pool] = [pool for pool in network.pools if address.ip in pool.subnet]
    return pool_text(network, inside[0]) if inside else ""


def _published(request: PortRequest) -> dict[str, object]:
    return {
        "Proto": PROTOCOLS[request.protocol],
        "IP": "",
        "Port": request.container_port,
        "HostIP": request.host_ip,
        "HostPort": request.host_port,
        "HostPortEnd": request.host_port_end or request.host_port,
    }


def _addresses(iface: Fields) -> tuple[IPInterface, ...]:
    found: list[IPInterface] = []
    for name, version in (("addr", 4), ("addrv6", 6)):
        if iface.get(name) in (None, ""):
            continue
        address = interface_of(text_of(iface, name), name)
        if address.version != version:
            raise Invalid(f"{name} {address} is not of IPv{version}")
        odd = address.ip.is_multicast or address.ip.is_loopback or address.ip.is_unspecified
        if odd or (version == 6 and getattr(address.ip, "scope_id", None)):
            raise Invalid(f"{name} {address} cannot be a container's")
        found.append(address)
    if not found:
        raise Invalid("the endpoint has no address")
    return tuple(found)


def _alias(found: object) -> str:
    if not isinstance(found, str):
        raise Invalid("an alias is not text")
    return plain(found, "alias")
