"""Requests for networks, checked against the world, in Docker's words. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from functools import partial

from fairlead.controller import leased
from fairlead.driver.interface import DRIVERS
from fairlead.ipam.pool import Base, choose, parse, placed, settle
from fairlead.model import advertising, asking
from fairlead.model.errors import Conflict, Failed, Forbidden, Invalid, NotFound
from fairlead.model.network import (
    ENCAPSULATION,
    UNWRAPPED,
    VXLAN,
    Network,
    NetworkRequest,
    Pool,
    PoolRequest,
    gateway_reserved,
)
from fairlead.model.options import (
    MTU,
    NAME,
    REPLY_SAME_WAY,
    USUAL_MTU,
    Mode,
    bridge_options,
    flag,
)
from fairlead.model.parent import HOST_ACCESS, KINDS, ParentOptions, parent_options
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM, destinations, listed
from fairlead.model.state import IPNetwork
from fairlead.model.world import World

PREDEFINED = ("bridge", "host", "none", "default")
SINGLE = {"host": "host", "null": "null", "none": "null"}
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
DEPENDENT = "are not supported if the network depends on a configuration network"
ONLY_CONFIGURATION = (
    "configuration network can only contain network specific fields. Network operator fields "
    "like [ ingress | internal | attachable | scope ] are not supported."
)


def check_request(world: World, request: NetworkRequest, foreign: bool = False) -> None:
    """Everything about a request that needs no address. Raises in Docker's order and words.

    Whether there is a driver that is `foreign` is for others to say.
    """
    if not request.name.strip():
        raise Invalid("invalid name: name is empty")
    if len(request.name) > 4096:
        raise Invalid("invalid name: name is too long", hint="a name has at most 4096 characters")
    if request.name in PREDEFINED:
        raise Forbidden(
            f"operation is not permitted on predefined {request.name} network ",
            hint="choose another name",
        )
    if request.ingress or request.scope == "swarm":
        scope = "cannot create a swarm scoped network when swarm is not active"
        raise Forbidden(NO_SWARM if request.ingress else scope)
    if not request.enable_ipv4 and not request.enable_ipv6:
        raise Invalid("IPv4 or IPv6 must be enabled")
    leased.check(request)
    _check_driver(request, foreign)
    if request.driver == "overlay":
        flag(request.options, HOST_ACCESS, False)
        _check_encapsulation(request)
    if request.driver == "overlay" or not foreign:
        _check_lists(request)
    if world.called(request.name) is not None:
        raise Conflict(
            f"network with name {request.name} already exists", hint="`network ls` shows it"
        )
    advertising.check(request.options)
    asking.check(request.options)
    flag(request.options, REPLY_SAME_WAY, False)
    if not foreign:
        _check_modes(request)


def _check_lists(request: NetworkRequest) -> None:
    for key in (PUBLISH_FROM, EGRESS):
        if key in request.options and request.driver not in ("", "bridge"):
            raise Invalid(
                f"{key} is for networks of driver bridge",
                hint="what an overlay publishes and asks outside goes through docker_gwbridge: "
                "make that network beforehand, with this option",
            )
    if PUBLISH_FROM in request.options:
        listed(request.options[PUBLISH_FROM], PUBLISH_FROM)
    if EGRESS in request.options:
        destinations(request.options[EGRESS])


def check_enforced(options: Container[str], firewall: bool) -> None:
    """Refuse a wall where nobody would build it. Raises Invalid."""
    for key in (PUBLISH_FROM, EGRESS):
        if key in options and not firewall:
            raise Invalid(f"{key} needs the firewall, which this daemon was told to leave alone")


def _check_encapsulation(request: NetworkRequest) -> None:
    wrapping = request.options.get(ENCAPSULATION, VXLAN)
    if wrapping not in (VXLAN, UNWRAPPED):
        raise Invalid(
            f"invalid {ENCAPSULATION} {wrapping!r}", hint=f"it is {VXLAN} (usual) or {UNWRAPPED}"
        )
    if wrapping == UNWRAPPED and "encrypted" in request.options:
        raise Invalid(
            f"a network with {ENCAPSULATION}={UNWRAPPED} cannot be encrypted: what is encrypted "
            "between hosts is the tunnel, and it has none",
            hint="leave one of the two options out",
        )


def _check_modes(request: NetworkRequest) -> None:
    if request.driver in KINDS:
        parent_options(request.driver, request.options)
        return
    options = bridge_options(request.options)
    if Mode.ISOLATED in (options.mode4, options.mode6) and not request.internal:
        raise Failed(
            "gateway mode 'isolated' can only be used for an internal network",
            hint="add --internal",
        )


def _check_driver(request: NetworkRequest, foreign: bool) -> None:
    driver = request.driver or "bridge"
    if driver in SINGLE:
        raise Forbidden(f'only one instance of "{SINGLE[driver]}" network is allowed')
    if foreign:
        return
    if driver == "overlay":
        raise Forbidden(NO_SWARM, hint="this daemon has " + ", ".join(sorted(DRIVERS)))
    if driver not in DRIVERS:
        raise NotFound(
            f'plugin "{driver}" not found', hint=f"this daemon has {', '.join(sorted(DRIVERS))}"
        )
    if request.ipam_driver not in ("", "default"):
        if request.ipam_driver == "null":
            raise Invalid("ipv4 pool is empty", hint="this driver needs addresses")
        raise NotFound(f'plugin "{request.ipam_driver}" not found')


def settled(world: World, request: NetworkRequest) -> NetworkRequest:
    """The request with what the configuration network says that it names.

    Raises NotFound, or Forbidden when it says something of its own as well.
    """
    if request.config_only:
        if request.config_from:
            raise Forbidden(
                "a configuration network cannot depend on another configuration network"
            )
        if request.internal or request.attachable or request.ingress or request.scope:
            raise Forbidden(ONLY_CONFIGURATION)
    if not request.config_from:
        return request
    own = (request.pools, request.ipam_options, request.labels, request.enable_ipv6)
    if any(own) or request.ipam_driver not in ("", "default"):
        raise Forbidden(f"user specified configurations {DEPENDENT}")
    if request.options:
        raise Forbidden(f"network driver options {DEPENDENT}")
    net = world.called(request.config_from)
    if net is None or not net.config_only:
        raise NotFound(f'configuration network "{request.config_from}" does not exist')
    return replace(
        request,
        pools=tuple(_said(pool) for pool in net.pools),
        options=net.options,
        labels=net.labels,
        ipam_options=net.ipam_options,
        enable_ipv4=net.enable_ipv4,
        enable_ipv6=net.enable_ipv6,
    )


def with_mtu(request: NetworkRequest, uplink: int) -> NetworkRequest:
    """The request with the MTU of the way out, in bytes, where that is not the usual one."""
    apart = request.config_only or request.driver in KINDS
    if MTU in request.options or uplink in (0, USUAL_MTU) or apart:
        return request
    return replace(request, options={**request.options, MTU: str(uplink)})


def _said(pool: Pool) -> PoolRequest:
    return PoolRequest(
        subnet=str(pool.subnet),
        ip_range=str(pool.ip_range or ""),
        gateway=str(pool.gateway or ""),
        auxiliary={name: str(address) for name, address in pool.auxiliary.items()},
    )


def pools(
    world: World,
    request: NetworkRequest,
    bases: Sequence[Base],
    occupied: Sequence[IPNetwork],
    remote: bool = False,
    gateways: Container[int] = (4, 6),
) -> tuple[Pool, ...]:
    """The pools of a network to be: the ones asked for, else the lowest free of each family.

    A driver that is `remote` may have several, and options of its own; `gateways` are the
    families of which it wants an address set aside.
    """
    said = [r for r in request.pools if r.subnet or r.gateway or r.ip_range or r.auxiliary]
    if request.config_only:
        return parse(said)
    if leased.is_leased(request):
        return ()
    several = remote or request.driver in KINDS
    reserved = {v: v in gateways and _has_gateway(request, v, remote) for v in (4, 6)}
    enabled = {4: request.enable_ipv4, 6: request.enable_ipv6}
    # Without a subnet to compare with them nobody has to go through all that there are.
    taken = [pool.subnet for net in allocated(world) for pool in net.pools] if said else []
    asked = parse(placed(said, bases, [*taken, *occupied]))
    found = settle([p for p in asked if enabled[p.subnet.version]], taken, reserved, several)
    for version in (4, 6):
        if enabled[version] and not any(p.subnet.version == version for p in found):
            ranges = [base for base in bases if base.range.version == version]
            held = [p.subnet for p in found]
            who = partial(holders, world)
            gateway = reserved[version]
            found = (*found, choose(ranges, held, occupied, gateway, who, world.blocks))
    return tuple(sorted(found, key=lambda p: p.subnet.version))


def _has_gateway(request: NetworkRequest, version: int, remote: bool) -> bool:
    """Whether an address of each pool is set aside for the bridge or a router."""
    if request.driver in KINDS and not remote:
        return not is_internal(request) and not on_parent(request).by_device
    options = bridge_options({} if remote else request.options)
    return gateway_reserved(options, request.internal, version)


def on_parent(request: NetworkRequest) -> ParentOptions:
    return parent_options(request.driver, request.options)


def is_internal(request: NetworkRequest, remote: bool = False) -> bool:
    """Whether a network has no way out: on a parent that leads nowhere there is none."""
    parted = request.driver in KINDS and not remote and not request.config_only
    return request.internal or (parted and not on_parent(request).parent)


def allocated(world: World) -> Iterator[Network]:
    """The networks that hold their pools: not those that only say what others are to be like."""
    return (net for net in world.networks.values() if not net.config_only)


def holders(world: World) -> dict[IPNetwork, str]:
    """Who has which subnet, and whether anybody is there, for people to read."""
    return {
        pool.subnet: net.name if net.predefined or world.users(net.id) else f"{net.name} (unused)"
        for net in allocated(world)
        for pool in net.pools
    }


def network(
    request: NetworkRequest,
    id_: str,
    created: int,
    found: tuple[Pool, ...],
    remote: bool = False,
) -> Network:
    """The network that a request makes."""
    return Network(
        id=id_,
        name=request.name,
        driver="null" if request.config_only else request.driver or "bridge",
        created=created,
        pools=found,
        options=dict(request.options),
        labels=dict(request.labels),
        ipam_driver=request.ipam_driver or "default",
        ipam_options=request.ipam_options,
        internal=is_internal(request, remote),
        attachable=request.attachable,
        enable_ipv4=request.enable_ipv4,
        enable_ipv6=request.enable_ipv6,
        remote=remote,
        config_only=request.config_only,
        config_from=request.config_from,
    )


def check_bridge(world: World, net: Network, is_bridge: bool | None) -> Network:
    """A network whose bridge's name is nobody else's; a bridge of the user's is adopted."""
    if net.config_only or net.driver != "bridge":
        return net
    ifname, own = net.ifname, NAME in net.options
    for other in world.networks.values():
        # Names that follow from ids are the same only if the ids begin alike.
        alike = own or NAME in other.options or other.id[:12] == net.id[:12]
        if alike and other.driver == "bridge" and other.ifname == ifname:
            raise Forbidden(
                f"cannot create network {net.id} ({net.ifname}): conflicts with network "
                f"{other.id} ({other.ifname}): networks have same bridge name"
            )
    if is_bridge is None:
        return net
    if not is_bridge:
        raise Failed(
            f"existing interface {net.ifname} is not a bridge", hint="choose another bridge name"
        )
    return replace(net, adopted=True)


def lookup(world: World, ref: str) -> Network:
    """A network by full id, name, or the start of an id that is no other's. Raises NotFound."""
    if not ref:
        raise Invalid("invalid network name or ID supplied: empty")
    if ref in world.networks:
        # Whoever names a network like another's id cannot hide that one.
        return world.networks[ref]
    named = world.called(ref)
    if named is not None:
        return named
    found = [net for id_, net in world.networks.items() if id_.startswith(ref)]
    if len(found) > 1:
        raise Invalid(f"network {ref} is ambiguous ({len(found)} matches found based on ID prefix)")
    if not found:
        raise NotFound(f"network {ref} not found", hint="`network ls` shows what there is")
    return found[0]


def check_removable(world: World, net: Network) -> None:
    """Raises Forbidden for a predefined network or one that is in use."""
    if net.predefined:
        raise Forbidden(f"{net.name} is a pre-defined network and cannot be removed")
    if net.config_only and any(n.config_from == net.name for n in world.networks.values()):
        raise Forbidden(
            f'error while removing network: configuration network "{net.name}" is in use'
        )
    users = {e.id: world.sandboxes[e.sandbox].name for e in world.users(net.id)}
    users |= {peer.id: peer.name for peer in world.afar(net.id).values() if not peer.access}
    if users:
        shown = ", ".join(f'name:"{name}" id:"{id_[:12]}"' for id_, name in users.items())
        raise Forbidden(
            f"error while removing network: network {net.name} has active endpoints ({shown})",
            hint="disconnect or stop those containers first",
        )
