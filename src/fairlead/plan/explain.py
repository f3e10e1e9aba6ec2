"""explain: each kernel object that stands for a network or container, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import NotFound
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.lookup import Lookup
from fairlead.model.network import Network
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    DnsRedirect,
    Key,
    Lent,
    Namespace,
    Neighbour,
    Proxy,
    Resource,
    Route,
    State,
    Sysctl,
    Veth,
)
from fairlead.model.step import Step
from fairlead.model.tunnel import Fdb, Vxlan
from fairlead.model.underlay import Dummy, Sublink, Vlan
from fairlead.model.world import World
from fairlead.model.zone import Member
from fairlead.plan import reasons

LISTED = re.compile(r"\b[sd]addr (\S+) accept")
"""What lists of sources and destinations name."""
SHORTEST_REF = 4
"""How much of an id stands for the whole."""


def explain(world: World, ref: str, wanted: State, owners: Mapping[Key, str]) -> list[str]:
    """Lines for a network (name or id) or a container (name or id). Raises NotFound."""
    ids, words = _subject(world, ref)
    lines = [words, *_told(world, ids)]
    for key, resource in sorted(wanted.items(), key=lambda item: (item[1].RANK, item[0])):
        if owners.get(key) in ids:
            lines.append(f"  {describe(resource)}")
            lines.append(f"      because {reason(world, resource, owners[key])}")
        else:
            lines += [f"  {line}" for line in _rules(world, resource, ids)]
    return lines


def _subject(world: World, ref: str) -> tuple[set[str], str]:
    # Whoever is called so is meant before one whose id begins so.
    for least in (len(ref) + 1, SHORTEST_REF):
        for net in world.networks.values():
            if ref in (net.name, net.id) or (len(ref) >= least and net.id.startswith(ref)):
                ids = {net.id, *world.afar(net.id)}
                return ids, f"network {net.name} ({net.driver}, {net.id[:12]})"
        for box in (b for b in world.sandboxes.values() if not b.access):
            id = box.container  # noqa: A001
            if ref in (box.name, id) or (len(ref) >= least and id.startswith(ref)):
                ends = {e.id for e in world.in_sandbox(box.id)}
                what = "sandbox" if box.free else "container"
                return {box.id, *ends}, f"{what} {box.name} (sandbox {box.namespace})"
    mine = [box.id for box in world.sandboxes.values() if box.access and box.name == ref]
    if mine:
        found = {e.id for id_ in mine for e in world.in_sandbox(id_)}
        return {*mine, *found}, f"{ref}: this host, on networks that span hosts"
    raise NotFound(
        f"no network or running container is called {ref}", hint="`network ls` and `ps` show them"
    )


def _told(world: World, ids: set[str]) -> Iterator[str]:
    """What drivers that are not ours tell of the subject's endpoints."""
    for endpoint in (e for e in world.endpoints.values() if e.id in ids):
        net = world.networks[endpoint.network]
        for key, value in sorted(endpoint.told.items()):
            yield f"  told    {key} = {value}"
            yield f"      because driver {net.driver} says so of its place on network {net.name}"


def _rules(world: World, resource: Resource, ids: set[str]) -> Iterator[str]:
    """The firewall rules that speak of an interface or address of the subject."""
    marks = {f" {net.ifname} " for net in world.networks.values() if net.id in ids and net.ifname}
    for endpoint in world.endpoints.values():
        if endpoint.sandbox in ids:
            marks |= {f"{a.ip}{tail}" for a in endpoint.addresses for tail in ("/", ":")}
    if isinstance(resource, Chain):
        specs: Sequence[str] = resource.rules
        where = f"{resource.table} {resource.name}"
    elif isinstance(resource, Rule):
        specs, where = (resource.spec,), f"{resource.table} {resource.chain}"
    else:
        return
    for spec in specs:
        if any(mark in f" {spec} " for mark in marks):
            yield f"rule    {where}: {spec}"
            yield f"    because {reasons.of_iptables(where, spec)}"


def describe(resource: Resource) -> str:
    """One line that says what a resource is."""
    at = getattr(resource, "namespace", HOST)
    place = f" in {at}" if at else ""
    match resource:
        case Namespace():
            return f"netns   {resource.name}"
        case DnsRedirect():
            return f"dns     127.0.0.11:53 leads to the resolver{place}"
        case Bridge():
            return f"bridge  {resource.name} ({resource.mac}, mtu {resource.mtu}){place}"
        case Veth():
            far = f"{resource.peer} in {resource.peer_namespace or 'the host'}"
            return f"veth    {resource.name} on {resource.master} to {far} ({resource.mac})"
        case Vxlan():
            wire = f"vni {resource.vni} from {resource.local}, mtu {resource.mtu}"
            return f"vxlan   {resource.name} on {resource.master} ({wire}){place}"
        case Fdb():
            return f"fdb     {resource.mac} is on host {resource.host}, by {resource.link}{place}"
        case Dummy():
            return f"dummy   {resource.name}, which leads nowhere"
        case Vlan():
            return f"vlan    {resource.name} on {resource.parent} (id {resource.vlan_id})"
        case Sublink():
            words = " ".join(filter(None, (resource.mode, resource.flag, resource.mac)))
            return f"{resource.kind:7} {resource.name} on {resource.parent} ({words}){place}"
        case Lent():
            return f"lent    {resource.name} as {resource.inside}{place} ({resource.mac})"
        case Address():
            return f"address {resource.address} on {resource.link}{place}"
        case Route():
            via = f" via {resource.via}" if resource.via else ""
            src = f" src {resource.source}" if resource.source else ""
            table = f" table {resource.table}" if resource.table else ""
            return f"route   {resource.destination}{via} dev {resource.link}{src}{table}{place}"
        case Lookup():
            return f"rule    from {resource.source} lookup {resource.table}{place}"
        case Neighbour():
            return f"neigh   {resource.address} is {resource.mac} on {resource.link}{place}"
        case Proxy():
            return f"proxy   {resource.address} is answered for on {resource.link}{place}"
        case Sysctl():
            return f"sysctl  {resource.path.replace('/', '.')} = {resource.value}{place}"
        case Chain():
            return f"chain   {resource.table} {resource.name} ({len(resource.rules)} rules)"
        case Rule():
            return f"rule    {resource.table} {resource.chain}: {resource.spec}"
        case NftTable():
            return f"table   {resource.family} {resource.name}"
        case NftSet():
            return f"{resource.kind:7} {resource.family} {resource.name} ({resource.spec})"
        case NftChain():
            return f"chain   {resource.family} {resource.name} ({len(resource.rules)} rules)"
        case NftElement():
            value = f" : {resource.value}" if resource.value else ""
            return f"element {resource.family} {resource.set}: {resource.item}{value}"
        case Member():
            return f"zone    {resource.link} in firewalld's zone {resource.zone}"
        case Policy():
            return f"policy  {resource.table} {resource.chain} {resource.verdict}"
        case _:
            return str(resource)


def reason(world: World, resource: Resource, owner: str) -> str:
    """Why it is there."""
    if isinstance(resource, NftElement):
        return reasons.SETS.get(resource.set, "the policy asks for it")
    if isinstance(resource, NftChain):
        said = " or ".join(LISTED.findall(" ".join(resource.rules))) or "nobody"
        if resource.name.startswith("c_callers"):
            return f"the published port is for {said}, and for this host"
        if resource.name.startswith("c_egress"):
            return f"the network leads to {said.replace('nobody', 'nowhere')}"
        return "it judges what enters or leaves the network"
    net = world.networks.get(owner)
    endpoint = world.endpoints.get(owner)
    box = world.sandboxes.get(owner)
    if isinstance(resource, Member):
        return "firewalld lets through what comes from there and what goes there"
    if net is not None and net.on_parent:
        return _parent_reason(net, resource)
    if isinstance(resource, Sysctl) and resource.path.endswith("accept_ra"):
        return "a container could forge router advertisements, and the host must not believe them"
    peer = world.peers.get(owner)
    if peer is not None:
        on = world.networks[peer.network].name
        return f"{peer.name or peer.id[:12]} is on network {on}, on host {peer.host}"
    if net is not None and isinstance(resource, Namespace):
        return f"somebody here is on network {net.name}, which spans hosts"
    if net is not None and isinstance(resource, Vxlan):
        return f"it leads to the other hosts of network {net.name}"
    if net is not None and isinstance(resource, Sysctl) and _answers(resource):
        return f"on network {net.name} this host answers for those on other hosts, at once"
    if net is not None:
        what = "is the gateway of" if isinstance(resource, Address) else "joins the containers of"
        return f"it {what} network {net.name}"
    if endpoint is not None:
        return _endpoint_reason(world, resource, endpoint)
    if isinstance(resource, Address):
        return "other hosts send IPv6 packets for containers of this one to it"
    if box is not None and isinstance(resource, DnsRedirect):
        return f"{box.name} is on a network with names"
    return f"{box.name} has a network of its own" if box is not None else "the firewall rests on it"


def _answers(setting: Sysctl) -> bool:
    """Whether a setting is about answering for others."""
    return "proxy" in setting.path or "evict" in setting.path


def _parent_reason(net: Network, resource: Resource) -> str:
    if isinstance(resource, Dummy):
        return f"network {net.name} was made without a parent"
    if isinstance(resource, Vlan):
        return f"network {net.name} stands on it, and nobody else made it"
    if isinstance(resource, Sysctl) and resource.link == net.parent:
        return f"the host is to hear nothing of what is said on network {net.name}"
    return f"the host has access to network {net.name}"


def _endpoint_reason(world: World, resource: Resource, endpoint: Endpoint) -> str:
    net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
    if box.access:
        return f"the host has access to network {net.name}"
    if isinstance(resource, Route) and not resource.namespace:
        return f"the host has access to {box.name} on network {net.name}"
    if isinstance(resource, Lookup) or (isinstance(resource, Route) and resource.table):
        return f"replies of {box.name} on network {net.name} leave by {endpoint.inside}"
    if isinstance(resource, Route) and resource.destination.prefixlen:
        return f"{resource.destination} is reached by way of network {net.name}"
    if isinstance(resource, Route):
        return f"{net.name} is the network through which {box.name} reaches the outside"
    lease = endpoint.lease
    if isinstance(resource, Address) and lease is not None and resource.address == lease.address:
        how = "for ever" if lease.endless else f"for {lease.seconds} s at a time"
        return f"DHCP server {lease.server} lets it to {box.name} on network {net.name}, {how}"
    return f"{box.name} is on network {net.name}"


def plan_lines(steps: Sequence[Step]) -> list[str]:
    """Steps as people read them; of a chain that changes, the rules that come and go."""
    lines: list[str] = []
    signs = {"add": "+", "remove": "-", "change": "~"}
    for step in steps:
        lines.append(f"{signs[step.verb]} {describe(step.resource)}")
        if isinstance(step.before, Member) and step.after is not None:
            lines[-1] += f", not {step.before.zone}"
        before = step.before.rules if isinstance(step.before, Chain | NftChain) else ()
        after = step.after.rules if isinstance(step.after, Chain | NftChain) else ()
        lines += [f"    + {rule}" for rule in after if rule not in before]
        lines += [f"    - {rule}" for rule in before if rule not in after]
    return lines
