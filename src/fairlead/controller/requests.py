"""Requests for networks, checked against the world, in Docker's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairlead.driver.interface import DRIVERS
from fairlead.ipam.pool import Base, check, choose
from fairlead.model.errors import Conflict, Failed, Forbidden, Invalid, NotFound, Unsupported
from fairlead.model.network import Network, NetworkRequest, Pool
from fairlead.model.options import bridge_options
from fairlead.model.state import IPNetwork
from fairlead.model.world import World

MODES = ("nat", "nat-unprotected", "routed", "isolated")
PREDEFINED = ("bridge", "host", "none", "default")
SINGLE = {"host": "host", "null": "null", "none": "null"}
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


def check_request(world: World, request: NetworkRequest) -> None:
    """Everything about a request that needs no address. Raises in Docker's order and words."""
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
    _check_driver(request)
    if any(network.name == request.name for network in world.networks.values()):
        raise Conflict(
            f"network with name {request.name} already exists", hint="`network ls` shows it"
        )
    bridge_options(request.options)
    _check_modes(request)


def _check_modes(request: NetworkRequest) -> None:
    for version in ("ipv4", "ipv6"):
        key = f"com.docker.network.bridge.gateway_mode_{version}"
        mode = request.options.get(key, "nat")
        if mode not in MODES:
            raise Invalid(f"failed to parse {key} value: {mode} (unknown gateway mode {mode})")
        if mode == "isolated" and not request.internal:
            raise Failed("gateway mode 'isolated' can only be used for an internal network")
        if mode != "nat":
            raise Unsupported(
                f"gateway mode {mode!r} is not supported by this version", hint="use nat"
            )


def _check_driver(request: NetworkRequest) -> None:
    driver = request.driver or "bridge"
    if driver in SINGLE:
        raise Forbidden(f'only one instance of "{SINGLE[driver]}" network is allowed')
    if driver == "overlay":
        raise Forbidden(NO_SWARM, hint="this daemon has " + ", ".join(sorted(DRIVERS)))
    if driver not in DRIVERS:
        raise NotFound(
            f'plugin "{driver}" not found', hint=f"this daemon has {', '.join(sorted(DRIVERS))}"
        )
    if request.ipam_driver not in ("", "default"):
        if request.ipam_driver == "null":
            raise Invalid("ipv4 pool is empty", hint="the bridge driver needs addresses")
        raise NotFound(f'plugin "{request.ipam_driver}" not found')
    if request.enable_ipv6 or not request.enable_ipv4:
        raise Unsupported(
            "IPv6 networks are not supported by this version", hint="leave out --ipv6"
        )
    if request.config_only or request.config_from:
        raise Unsupported(
            "configuration networks are not supported by this version",
            hint="give each network its options",
        )


def pools(
    world: World,
    request: NetworkRequest,
    bases: Sequence[Base],
    occupied: Sequence[IPNetwork],
) -> tuple[Pool, ...]:
    """The pools of a network to be: the ones asked for, else the lowest free."""
    taken = [pool.subnet for net in world.networks.values() for pool in net.pools]
    if any(r.subnet or r.gateway or r.ip_range or r.auxiliary for r in request.pools):
        return check(request.pools, taken)
    return (choose(bases, taken, occupied),)


def network(request: NetworkRequest, id_: str, created: int, found: tuple[Pool, ...]) -> Network:
    """The network that a request makes."""
    return Network(
        id=id_,
        name=request.name,
        driver=request.driver or "bridge",
        created=created,
        pools=found,
        options=dict(request.options),
        labels=dict(request.labels),
        ipam_options=request.ipam_options,
        internal=request.internal,
        attachable=request.attachable,
    )


def check_bridge(world: World, net: Network, is_bridge: bool | None) -> Network:
    """A network whose bridge's name is nobody else's; a bridge of the user's is adopted."""
    for other in world.networks.values():
        if other.driver == "bridge" and other.ifname == net.ifname:
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
    """A network by name, full id, or the start of an id that is no other's. Raises NotFound."""
    if not ref:
        raise Invalid("invalid network name or ID supplied: empty")
    for net in world.networks.values():
        if net.name == ref:
            return net
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
    users = world.on_network(net.id)
    if users:
        names: Mapping[str, str] = {e.id: world.sandboxes[e.sandbox].name for e in users}
        shown = ", ".join(f'name:"{names[e.id]}" id:"{e.id[:12]}"' for e in users)
        raise Forbidden(
            f"error while removing network: network {net.name} has active endpoints ({shown})",
            hint="disconnect or stop those containers first",
        )
