"""Names: what each sandbox can resolve, derived from the world. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from fairlead.driver.interface import driver
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.world import World


@dataclass(frozen=True, slots=True)
class Registration:
    """What one endpoint is called on its network; `target` is what its addresses resolve to.

    `own` are those of the names that are its own, not aliases that others may have as well.
    """

    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]
    target: str
    own: tuple[str, ...] = ()
    project: str = ""


def dns_names(world: World, endpoint: Endpoint) -> tuple[str, ...]:
    """An endpoint's names as Docker lists them: name, aliases, short id, hostname."""
    net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
    if endpoint.service or not _has_zone(net):
        return ()
    found = [box.name, *endpoint.aliases, box.container[:12], box.hostname]
    return tuple(dict.fromkeys(name for name in found if name))


def registration(world: World, endpoint: Endpoint) -> Registration:
    """An endpoint's entry in its network's zone: every name, also with the network's behind it."""
    net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
    called = dns_names(world, endpoint)
    return _registration(net, called, box.name if called else "", endpoint.addresses, box.project)


def registration_afar(world: World, peer: Peer) -> Registration:
    """The entry of an endpoint on another host."""
    name = "" if peer.anonymous else peer.name
    called = tuple(dict.fromkeys(n for n in (name, *peer.aliases) if n))
    return _registration(world.networks[peer.network], called, peer.name, peer.addresses)


def _registration(
    net: Network,
    called: Sequence[str],
    name: str,
    addresses: Sequence[IPInterface],
    project: str = "",
) -> Registration:
    suffix = fold(net.name)
    short = [form for text in called for form in _forms(text)]
    names = dict.fromkeys([*short, *(f"{text}.{suffix}" for text in short)])
    own = (fold(name), f"{fold(name)}.{suffix}") if name in called else ()
    target = f"{name or next(iter(called), '')}.{net.name}."
    return Registration(tuple(names), tuple(a.ip for a in addresses), target, own, project)


def fold(name: str) -> str:
    """A name as it is looked up: the case of letters does not matter, of any letters."""
    return name.lower()


def _forms(name: str) -> Iterator[str]:
    """A name as clients may ask for it: as it is, and as IDNA has it where it is not ASCII."""
    yield fold(name)
    if not name.isascii():
        try:
            yield name.lower().encode("idna").decode()
        except UnicodeError:
            # No such form: then nobody asks for it either.
            return


def zones_of(world: World, box: Sandbox) -> tuple[str, ...]:
    """The zones that a sandbox asks, in the order of its joins."""
    mine = [(e, world.networks[e.network]) for e in world.in_sandbox(box.id)]
    return tuple(e.network for e, net in mine if _has_zone(net) and not e.service)


def _has_zone(net: Network) -> bool:
    return net.user_defined and driver(net).CABLE


def links(world: World, box: Sandbox) -> Mapping[str, tuple[IPAddress, ...]]:
    """Names that a sandbox alone knows others by."""
    found: dict[str, tuple[IPAddress, ...]] = {}
    for endpoint in world.in_sandbox(box.id):
        for alias, target in endpoint.links:
            for other in world.on_network(endpoint.network):
                if target in (world.sandboxes[other.sandbox].name, *_ids(world, other)):
                    addresses = tuple(a.ip for a in other.addresses)
                    found[fold(alias)] = found.get(fold(alias), ()) + addresses
    return found


def _ids(world: World, endpoint: Endpoint) -> tuple[str, str]:
    container = world.sandboxes[endpoint.sandbox].container
    return container, container[:12]


def has_ndots(box: Sandbox) -> bool:
    """Whether the user set ndots: then single labels are the client's own business."""
    return any(option.startswith("ndots:") for option in box.dns_options)


def may_forward(world: World, box: Sandbox) -> bool:
    """Whether questions may leave the host for it: not from a network that leads nowhere.

    A name is data; a resolver that forwards carries it out (CVE-2024-29018).
    """
    ways = (world.gateway(box.id, version) for version in (4, 6))
    return any(world.networks[way.network].egress != () for way in ways if way is not None)


def gateways(world: World, box: Sandbox) -> tuple[IPAddress, ...]:
    """Where a sandbox finds the host: its gateway of each family."""
    ways = ((world.gateway(box.id, version), version) for version in (4, 6))
    found = (way.gateway(version) for way, version in ways if way is not None)
    return tuple(a for a in found if a is not None and not a.is_unspecified)


def contested(world: World, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Aliases that somebody of another project on the same network has too, and what that means."""
    net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
    mine = {fold(alias) for alias in endpoint.aliases}
    for other in world.on_network(endpoint.network) if mine else ():
        theirs = world.sandboxes[other.sandbox]
        if theirs.id == box.id or theirs.project == box.project:
            continue
        for name in sorted(mine & {fold(name) for name in (theirs.name, *other.aliases)}):
            yield (
                name,
                (
                    f"on network {net.name} both {_of(box)} and {_of(theirs)} are called {name}: "
                    "containers of one of these projects find their own, others find "
                    f"{theirs.name if fold(theirs.name) == name else 'either, in turns'}"
                ),
            )


def contests(world: World, ref: str) -> tuple[str, ...]:
    """What is contested of a container, or on a network, by name or id."""
    found: dict[str, None] = {}
    for endpoint in world.endpoints.values():
        net, box = world.networks[endpoint.network], world.sandboxes[endpoint.sandbox]
        if ref in (net.name, net.id, box.name, box.container):
            found |= {text: None for _, text in contested(world, endpoint)}
    return tuple(found)


def _of(box: Sandbox) -> str:
    return f"{box.name} (project {box.project})" if box.project else f"{box.name} (no project)"


def nameservers(resolv_conf: str) -> tuple[IPAddress, ...]:
    """The name servers in the text of a resolv.conf."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                # With its zone, without which a link-local server cannot be reached.
                found.append(ip_address(words[1]))
            except ValueError:
                continue
    return tuple(found)


def given(texts: Sequence[str]) -> tuple[IPAddress, ...]:
    """The name servers that a user gave; they were checked when the container was made."""
    return tuple(ip_address(text) for text in texts)
