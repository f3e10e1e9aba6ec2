"""Networks as Docker 20.10 writes them into the store.

Pools are twofold there: ``ipamV4Config`` is what the user asked for, ``ipamV4Info`` what the
IPAM gave, and both are JSON inside JSON (of the latter, a part once more). What we do not
know of a record stays in it when we write it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.cluster.keys import SPACE
from fairlead.cluster.moment import moment, nanoseconds
from fairlead.cluster.pools import PoolId, pool_id
from fairlead.cluster.text import (
    MOST_RECORD_BYTES,
    Fields,
    anything,
    decoded,
    encoded,
    flag_of,
    interface_of,
    listed,
    name_of,
    named,
    object_of,
    subnet_of,
    text_of,
    texts_of,
)
from fairlead.model.errors import Invalid
from fairlead.model.network import Network, Pool, PoolRequest, Scope
from fairlead.model.state import IPAddress, IPNetwork

GENERIC = "com.docker.network.generic"
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
INTERNAL = "com.docker.network.internal"


DEFAULT, NO_IPAM = "default", "null"


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A network, and what its record says beyond it."""

    network: Network
    pools: tuple[PoolId, ...] = ()
    """The ids of its pools, in their order, as far as they are the cluster's."""
    removing: bool = False
    """Some host is taking it away."""
    rest: Mapping[str, object] = field(default_factory=dict, compare=False)


def pool_ids(network: Network) -> tuple[PoolId, ...]:
    """The ids of a network's pools, in their order."""
    return tuple(PoolId(pool.subnet, pool.ip_range) for pool in network.pools)


def ours(network: Network) -> bool:
    """Whether a network's addresses are the cluster's; else they are a plugin's."""
    return network.ipam_driver in ("", DEFAULT)


def pool_text(network: Network, pool: Pool) -> str:
    """The id of a network's pool, as whoever gave it calls it."""
    return str(PoolId(pool.subnet, pool.ip_range)) if ours(network) else pool.id


def decode_network(id_: str, value: bytes) -> NetworkRecord:
    """The record of the network with that id. Raises Invalid with the first thing wrong."""
    fields = decoded(value)
    if fields.get("id") != id_:
        raise Invalid("the network's id is not that of its key")
    scope = fields.get("scope", "global")
    if scope not in ("", Scope.GLOBAL):
        raise Invalid("a network whose scope is not global is nobody else's")
    if flag_of(fields, "configOnly"):
        raise Invalid("a network that only holds settings is nobody else's")
    removing = flag_of(fields, "inDelete")
    ipam = name_of(fields, "ipamType") if "ipamType" in fields else DEFAULT
    found = [*_pools(fields, 4, ipam), *_pools(fields, 6, ipam)]
    if not found and not removing and ipam != NO_IPAM:
        raise Invalid("the network has no pools")
    _apart([pool.subnet for pool, _ in found])
    created = fields.get("created")
    enable_ipv6 = flag_of(fields, "enableIPv6") or any(p.subnet.version == 6 for p, _ in found)
    network = Network(
        id=id_,
        name=name_of(fields, "name"),
        driver=name_of(fields, "networkType"),
        created=nanoseconds(created) if isinstance(created, str) else 0,
        pools=tuple(pool for pool, _ in found),
        options=texts_of(object_of(fields, "generic"), GENERIC),
        labels=texts_of(fields, "labels"),
        ipam_driver=ipam,
        ipam_options=texts_of(fields, "ipamOptions"),
        scope=Scope.GLOBAL,
        internal=flag_of(fields, "internal"),
        attachable=flag_of(fields, "attachable"),
        enable_ipv4=removing or not found or any(pool.subnet.version == 4 for pool, _ in found),
        enable_ipv6=enable_ipv6,
    )
    ours = tuple(id_ for _, id_ in found if id_ is not None)
    return NetworkRecord(network, ours, removing, fields)


def encode_network(
    network: Network,
    *,
    asked: Sequence[PoolRequest] | None = None,
    removing: bool = False,
    rest: Mapping[str, object] | None = None,
) -> bytes:
    """A network as Docker writes it; `asked` are the pools as the user asked for them.

    Raises Invalid for what other hosts would refuse. With `rest` it is another version of
    a record that says more than we know.
    """
    named(network.name, "name")
    generic: dict[str, object] = {
        ENABLE_IPV6: network.enable_ipv6,
        GENERIC: dict(sorted(network.options.items())),
    }
    if network.internal:
        generic[INTERNAL] = True
    fields: dict[str, object] = {
        "configFrom": "",
        "configOnly": False,
        "ingress": False,
        "loadBalancerIP": "",
        "loadBalancerMode": "NAT",
        "persist": True,
        "postIPv6": False,
        **(rest or {}),
        "addrSpace": SPACE if ours(network) else next((p.space for p in network.pools), ""),
        "attachable": network.attachable,
        "created": moment(network.created),
        "enableIPv6": network.enable_ipv6,
        "generic": {**object_of(rest or {}, "generic"), **generic},
        "id": network.id,
        "inDelete": removing,
        "internal": network.internal,
        "ipamOptions": dict(sorted((network.ipam_options or {}).items())),
        "ipamType": network.ipam_driver,
        "labels": dict(sorted(network.labels.items())),
        "name": network.name,
        "networkType": network.driver,
        "scope": str(network.scope),
    }
    if rest is None:
        fields.update(_ipam_fields(network, asked))
    fields["generic"] = dict(sorted(object_of(fields, "generic").items()))
    value = encoded(dict(sorted(fields.items())))
    if len(value) > MOST_RECORD_BYTES:
        raise Invalid(f"the network's record has {len(value)} bytes, more than other hosts read")
    return value


def marked(value: bytes, *, removing: bool) -> bytes:
    """A network's record, all as it is, that says whether it is going."""
    return encoded(dict(sorted({**decoded(value), "inDelete": removing}.items())))


def _ipam_fields(network: Network, asked: Sequence[PoolRequest] | None) -> dict[str, str]:
    """What was asked for and what was given, of each family that it has."""
    found: dict[str, str] = {}
    for version in (4, 6):
        pools = [pool for pool in network.pools if pool.subnet.version == version]
        if not pools:
            continue
        wanted = [_config(pool, _asked_for(pool, asked)) for pool in pools]
        found[f"ipamV{version}Config"] = encoded(wanted).decode()
        found[f"ipamV{version}Info"] = encoded([_given(network, p) for p in pools]).decode()
    return found


def _asked_for(pool: Pool, asked: Sequence[PoolRequest] | None) -> PoolRequest | None:
    """The request that a pool came of; None when nobody asked for this very one."""
    if asked is None:
        return PoolRequest(
            str(pool.subnet),
            str(pool.ip_range or ""),
            str(pool.gateway or ""),
            {name: str(address) for name, address in pool.auxiliary.items()},
        )
    return next((each for each in asked if each.subnet == str(pool.subnet)), None)


def _config(pool: Pool, asked: PoolRequest | None) -> dict[str, object]:
    if asked is None:
        return {"PreferredPool": "", "SubPool": "", "Gateway": "", "AuxAddresses": None}
    return {
        "PreferredPool": str(pool.subnet),
        "SubPool": asked.ip_range,
        "Gateway": asked.gateway,
        "AuxAddresses": dict(sorted(asked.auxiliary.items())) or None,
    }


def _given(network: Network, pool: Pool) -> dict[str, str]:
    length = pool.subnet.prefixlen
    fields: dict[str, object] = {"AddressSpace": SPACE if ours(network) else pool.space}
    if pool.auxiliary:
        kept = sorted(pool.auxiliary.items())
        fields["AuxAddresses"] = {name: f"{address}/{length}" for name, address in kept}
    if pool.gateway is not None:
        fields["Gateway"] = f"{pool.gateway}/{length}"
    fields["Pool"] = str(pool.subnet)
    return {"IPAMData": encoded(fields).decode(), "PoolID": pool_text(network, pool)}


def _pools(fields: Fields, version: int, ipam: str) -> Iterable[tuple[Pool, PoolId | None]]:
    """The pools of a family, each with its id if it is the cluster's."""
    name = f"ipamV{version}Info"
    if name not in fields:
        return
    text = text_of(fields, name, MOST_RECORD_BYTES)
    for entry in listed(anything(text, MOST_RECORD_BYTES) or [], name):
        if not isinstance(entry, dict):
            raise Invalid(f"{name} has a pool that is not an object")
        inner = decoded(text_of(entry, "IPAMData", MOST_RECORD_BYTES).encode())
        subnet = subnet_of(text_of(inner, "Pool"), "pool")
        if subnet.version != version:
            raise Invalid(f"the pool {subnet} is not of IPv{version}")
        gateway = _member(text_of(inner, "Gateway"), subnet) if "Gateway" in inner else None
        kept = texts_of(inner, "AuxAddresses")
        auxiliary = {named(each, "address"): _member(kept[each], subnet) for each in kept}
        if ipam != DEFAULT:
            theirs, space = text_of(entry, "PoolID"), text_of(inner, "AddressSpace")
            yield Pool(subnet, gateway, _part(fields, subnet), auxiliary, theirs, space), None
            continue
        id_ = pool_id(text_of(entry, "PoolID"))
        if id_.subnet != subnet:
            raise Invalid(f"the pool {subnet} has the id of another, {id_}")
        yield Pool(subnet, gateway, id_.part, auxiliary), id_


def _part(fields: Fields, subnet: IPNetwork) -> IPNetwork | None:
    """The part of a plugin's pool that containers get, as the user asked for it."""
    name = f"ipamV{subnet.version}Config"
    text = text_of(fields, name, MOST_RECORD_BYTES) if name in fields else "[]"
    for asked in listed(anything(text, MOST_RECORD_BYTES) or [], name):
        if isinstance(asked, dict) and asked.get("PreferredPool") == str(subnet):
            part = asked.get("SubPool")
            return subnet_of(part, "part of a pool") if isinstance(part, str) and part else None
    return None


def _member(text: str, subnet: IPNetwork) -> IPAddress:
    found = interface_of(text, "address")
    if found.network != subnet:
        raise Invalid(f"the address {found} is not one of {subnet}")
    return found.ip


def _apart(subnets: Sequence[IPNetwork]) -> None:
    for at, subnet in enumerate(subnets):
        for other in subnets[:at]:
            if subnet.version == other.version and subnet.overlaps(other):
                raise Invalid(f"its pools {other} and {subnet} overlap")
