"""Networks on a parent (macvlan, ipvlan), checked against the host and each other. Pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from fairlead.ipam.bitmap import first_free
from fairlead.kernel.port import Footing
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Failed
from fairlead.model.network import Network, Pool
from fairlead.model.parent import DUMMIES, HOST_ADDRESS, PASSTHRU, vlan
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.world import World

OPTIONS = {
    "macvlan": "CONFIG_MACVLAN",
    "ipvlan": "CONFIG_IPVLAN",
    "vlan": "CONFIG_VLAN_8021Q",
    "dummy": "CONFIG_DUMMY",
}
"""What a kernel is built with that knows such links."""
BY_DEVICE = {4: ip_address("0.0.0.0"), 6: ip_address("::")}
"""Stand for a way out through an interface alone, where there is no gateway."""


def asked(net: Network) -> frozenset[str]:
    """The links of the host of which a network to be wants to know whether they are there."""
    name = net.underlay.parent
    return frozenset({name, name.partition(".")[0]} - {""})


def checked(world: World, net: Network, found: Footing) -> Network:
    """A network that can stand on its parent; one that stood before us is adopted.

    Raises Failed, in Docker's words where it has them.
    """
    if net.config_only or not net.on_parent:
        return net
    name = net.underlay.parent
    makes = {"dummy"} if not name else {"vlan"} - {"vlan" for _ in found.present & {name}}
    sharing = [o for o in world.networks.values() if o.on_parent and o.parent == net.parent]
    for other in sharing:
        _may_share(net, other)
    if sharing:
        net = replace(net, adopted=sharing[0].adopted)
    elif name in found.present:
        _refuse_leftover(world, name, found)
        net = replace(net, adopted=True)
    elif name:
        link, _ = vlan(name)
        if link not in found.present:
            raise Failed(
                f"-o parent interface was not found on the host: {link}",
                hint="`ip link` shows those that there are",
            )
    for kind in sorted({net.driver, *makes} & found.lacking):
        raise Failed(
            f"operation not supported: this kernel was built without {OPTIONS[kind]}, "
            f"so it has no {kind} links",
            hint="load or install that module, or boot another kernel"
            + ("; or name a parent: -o parent=eth0" if kind == "dummy" else ""),
        )
    return replace(net, pools=tuple(_with_host(net, pool) for pool in net.pools))


def _may_share(net: Network, other: Network) -> None:
    parent = net.parent
    hint = f"give it a VLAN of its own: -o parent={parent.partition('.')[0]}.10"
    if net.driver != other.driver:
        text = f"{other.driver} network {other.id} is already using parent interface {parent}"
        raise Failed(text, hint=f"links on one parent are all of one kind; {hint}")
    if net.driver == "ipvlan":
        start = f"network {DUMMIES['ipvlan']}{other.id[:12]}"
        raise Failed(f"{start} is already using parent interface {parent}", hint=hint)
    if net.underlay.mode == PASSTHRU:
        raise Failed(
            f"cannot use mode passthru, macvlan network {other.id} is already using parent "
            f"interface {parent}",
            hint=hint,
        )
    if other.underlay.mode == PASSTHRU:
        raise Failed(
            f"macvlan network {other.id} is already using parent interface {parent} in mode "
            "passthru",
            hint=hint,
        )


def _refuse_leftover(world: World, name: str, found: Footing) -> None:
    """What carries our mark and is no network's would go with the next repair."""
    if name in found.ours and all(name != other.ifname for other in world.networks.values()):
        raise Failed(
            f"interface {name} is left over from a network that is gone",
            hint="`fairlead doctor --fix` removes it",
        )


def _with_host(net: Network, pool: Pool) -> Pool:
    """A pool in which the host has an address, if it is to have access."""
    if not net.underlay.host_access or HOST_ADDRESS in pool.auxiliary:
        return pool
    kept = {int(a) for a in (pool.gateway, *pool.auxiliary.values()) if a is not None}
    address = first_free(pool.subnet, pool.ip_range, kept)
    if address is None:
        raise Failed(f"no address is left in {pool.subnet} for the host", hint="use a larger one")
    return replace(pool, auxiliary={**pool.auxiliary, HOST_ADDRESS: address})


def adopted(world: World, found: Footing) -> tuple[Network, ...]:
    """Networks whose VLAN somebody else made while we were not there: it is theirs from now on."""
    theirs = found.present - found.ours
    return tuple(
        replace(net, adopted=True)
        for net in world.networks.values()
        if net.on_parent and net.underlay.parent in theirs and not net.adopted
    )


def missing(world: World, found: Footing) -> tuple[str, ...]:
    """What is to be said of networks whose parent is not there."""
    return tuple(
        f"network {net.name} is cut off: its parent {net.parent} is not on this host"
        for net in world.networks.values()
        if net.on_parent and net.adopted and net.parent not in found.present
    )


def mac_of(net: Network, request: EndpointRequest, usual: str) -> str:
    """The MAC of an endpoint. Raises Failed where the link has that of its parent."""
    own = net.driver == "macvlan" and net.underlay.mode != PASSTHRU
    if request.mac and not own:
        mode = "" if net.driver == "ipvlan" else f" in mode {PASSTHRU}"
        raise Failed(
            f"{net.driver} interfaces{mode} do not support custom mac address assignment",
            hint="they have the address of their parent",
        )
    return request.mac or (usual if own else "")


def ways_out(net: Network, addresses: tuple[IPInterface, ...]) -> tuple[IPAddress, ...]:
    """Where what is for elsewhere goes: for each address the way out of its subnet."""
    if net.on_parent and net.underlay.by_device:
        return tuple(BY_DEVICE[address.version] for address in addresses)
    found = (
        pool.way_out for address in addresses for pool in net.pools if address.ip in pool.subnet
    )
    return tuple(way for way in found if way is not None)
