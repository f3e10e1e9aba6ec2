"""explain: each kernel object that stands for a network or container, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import NotFound
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Chain,
    DnsRedirect,
    Key,
    Namespace,
    Neighbour,
    Policy,
    Resource,
    Route,
    Rule,
    State,
    Step,
    Sysctl,
    Veth,
)
from fairlead.model.world import World


def explain(world: World, ref: str, wanted: State, owners: Mapping[Key, str]) -> list[str]:
    """Lines for a network (name or id) or a container (name or id). Raises NotFound."""
    ids, words = _subject(world, ref)
    lines = [words]
    for key, resource in sorted(wanted.items(), key=lambda item: (item[1].RANK, item[0])):
        if owners.get(key) in ids:
            lines.append(f"  {describe(resource)}")
            lines.append(f"      because {reason(world, resource, owners[key])}")
        else:
            lines += [f"  {line}" for line in _rules(world, resource, ids)]
    return lines


def _subject(world: World, ref: str) -> tuple[set[str], str]:
    for net in world.networks.values():
        if ref in (net.name, net.id) or (len(ref) >= 4 and net.id.startswith(ref)):
            return {net.id}, f"network {net.name} ({net.driver}, {net.id[:12]})"
    for box in world.sandboxes.values():
        if ref in (box.name, box.container) or (len(ref) >= 4 and box.container.startswith(ref)):
            ends = {e.id for e in world.in_sandbox(box.id)}
            return {box.id, *ends}, f"container {box.name} (sandbox {box.namespace})"
    raise NotFound(
        f"no network or running container is called {ref}", hint="`network ls` and `ps` show them"
    )


def _rules(world: World, resource: Resource, ids: set[str]) -> Iterator[str]:
    """The firewall rules that speak of an interface or address of the subject."""
    marks = {f" {net.ifname} " for net in world.networks.values() if net.id in ids}
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
            yield f"    because {_rule_reason(where, spec)}"


RULE_REASONS = (
    ("STAGE-1", "-STAGE-2", "what leaves a network for elsewhere is judged in STAGE-2"),
    ("STAGE-1", "DROP", "the network is internal: nothing enters or leaves it"),
    ("STAGE-2", "", "networks are closed to each other"),
    ("-FORWARD", "RELATED,ESTABLISHED", "answers to what went out may come back"),
    ("-FORWARD", "! -o", "containers may reach the outside"),
    ("-FORWARD", "DROP", "icc is off: containers of the network do not reach each other"),
    ("-FORWARD", "-i", "containers of one network reach each other"),
    ("-FORWARD", "", "which ports are open is judged there"),
    ("filter", "ACCEPT", "the port is published"),
    ("filter", "DROP", "what is not published is closed from outside"),
    ("nat", "RETURN", "what a container sends to a published port of the host the proxy takes"),
    ("nat", "DNAT", "the port is published"),
    ("nat", "", "the outside sees the host's address, not the container's"),
    ("raw", "RETURN", "between our own networks the isolation chains judge"),
    ("raw", "! -i lo", "the port is published on the loopback, for this host alone"),
    ("raw", "", "a container's own address is closed from outside, published port or not"),
)
"""Part of where a rule is, part of the rule, and why such rules exist; the first that fits."""


def _rule_reason(where: str, spec: str) -> str:
    found = (why for place, part, why in RULE_REASONS if place in where and part in spec)
    return next(found, "the policy asks for it")


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
            far = f"{resource.peer} in {resource.peer_namespace}"
            return f"veth    {resource.name} on {resource.master} to {far} ({resource.mac})"
        case Address():
            return f"address {resource.address} on {resource.link}{place}"
        case Route():
            via = f" via {resource.via}" if resource.via else ""
            return f"route   {resource.destination}{via} dev {resource.link}{place}"
        case Neighbour():
            return f"neigh   {resource.address} is {resource.mac} on {resource.link}{place}"
        case Sysctl():
            return f"sysctl  {resource.path.replace('/', '.')} = {resource.value}{place}"
        case Chain():
            return f"chain   {resource.table} {resource.name} ({len(resource.rules)} rules)"
        case Rule():
            return f"rule    {resource.table} {resource.chain}: {resource.spec}"
        case Policy():
            return f"policy  {resource.table} {resource.chain} {resource.verdict}"
        case _:
            return str(resource)


def reason(world: World, resource: Resource, owner: str) -> str:
    """Why it is there."""
    net = world.networks.get(owner)
    endpoint = world.endpoints.get(owner)
    box = world.sandboxes.get(owner)
    if isinstance(resource, Sysctl) and resource.path.endswith("accept_ra"):
        return "a container could forge router advertisements, and the host must not believe them"
    if net is not None:
        what = "is the gateway of" if isinstance(resource, Address) else "joins the containers of"
        return f"it {what} network {net.name}"
    if endpoint is not None:
        return _endpoint_reason(world, resource, endpoint)
    if box is not None and isinstance(resource, DnsRedirect):
        return f"{box.name} is on a network with names"
    return f"{box.name} has a network of its own" if box is not None else "the firewall rests on it"


def _endpoint_reason(world: World, resource: Resource, endpoint: Endpoint) -> str:
    net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
    if isinstance(resource, Route):
        return f"{net.name} is the network through which {box.name} reaches the outside"
    return f"{box.name} is on network {net.name}"


def plan_lines(steps: Sequence[Step]) -> list[str]:
    """Steps as people read them; of a chain that changes, the rules that come and go."""
    lines: list[str] = []
    signs = {"add": "+", "remove": "-", "change": "~"}
    for step in steps:
        lines.append(f"{signs[step.verb]} {describe(step.resource)}")
        before = step.before.rules if isinstance(step.before, Chain) else ()
        after = step.after.rules if isinstance(step.after, Chain) else ()
        lines += [f"    + {rule}" for rule in after if rule not in before]
        lines += [f"    - {rule}" for rule in before if rule not in after]
    return lines
