"""The start: from what the store says to a host that is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_interface

from fairlead.controller import documents, handover, parents
from fairlead.controller.adoption import stands
from fairlead.controller.commit import Committer
from fairlead.controller.join import Draw
from fairlead.controller.requests import allocated
from fairlead.controller.resume import resume
from fairlead.controller.want import FORWARDING
from fairlead.ipam.pool import DEFAULT_BASES, Base, choose, unique_local
from fairlead.model.endpoint import Endpoint
from fairlead.model.errand import Errand, parting
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.keyring import Keyring
from fairlead.model.network import Network, Pool
from fairlead.model.options import (
    DEFAULT_BRIDGE,
    HOST_BINDING,
    ICC,
    MASQUERADE,
    MTU,
    NAME,
    USUAL_MTU,
)
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, IPAddress, IPNetwork, Scope, Sysctl
from fairlead.model.step import Step
from fairlead.model.world import Change, Thing, World
from fairlead.store.sqlite import Document


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon's flags and daemon.json say about networks.

    An empty `bip` means: choose. `mtu` in bytes, 0 for that of the way out.
    """

    bridge: str = "docker0"
    ipv6: bool = False
    bip: str = ""
    bip6: str = ""
    mtu: int = 0
    icc: bool = True
    masquerade: bool = True
    binding: IPAddress | None = None
    fixed_cidr: IPNetwork | None = None
    fixed_cidr_v6: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    default_gateway_v6: IPAddress | None = None
    bases: Sequence[Base] = DEFAULT_BASES
    network_defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options of networks that do not set them, by driver."""


@dataclass(slots=True)
class Begun:
    """The world at the start, what it took to make it real, and what could not be done."""

    world: World
    unique_local: Base
    steps: tuple[Step, ...] = ()
    warnings: list[str] = field(default_factory=list)


async def start(
    committer: Committer,
    settings: Settings,
    alive: Callable[[Sandbox], bool],
    upstreams: tuple[IPAddress, ...],
    draw: Draw,
    foreign: Callable[[Network], bool] = lambda net: False,
) -> Begun:
    """Load, complete, check, repair; then bring the dataplane to the same state."""
    begun = Begun(World(), _unique_local(committer, draw))

    def lives(box: Sandbox) -> bool:
        if box.access:
            # The host is on networks of the cluster as long as it is a member.
            return committer.host.underlay is not None
        if stands(committer.kernel, box):
            return alive(box)
        begun.warnings.append(f"sandbox {box.name} is gone: its namespace {box.source} is")
        return False

    def work() -> None:
        world, rubbish = _load(committer, lives, foreign, draw)
        begun.world = world
        change = _predefined(committer, begun, settings, draw)
        begun.world = world.after(change)
        committer.kernel.reap()
        change = Change((*change.put, *_parents(committer, begun)), change.drop)
        begun.world = begun.world.after(change)
        _refuse_strangers(committer, begun.world)
        _note_forwarding(committer)
        committer.survey(begun.world)
        wanted = committer.wanted(begun.world)
        handover.raise_walls(committer, wanted)
        handover.take_back(committer)
        begun.steps = committer.repair(begun.world, wanted)
        committer.store.write(rubbish + documents.documents(change))
        for number, _, _ in committer.store.intents():
            committer.store.abandon(number)

    await committer.on_thread(work)
    begun.warnings += await resume(committer, begun.world, upstreams)
    return begun


def _load(
    committer: Committer,
    alive: Callable[[Sandbox], bool],
    foreign: Callable[[Network], bool],
    draw: Draw,
) -> tuple[World, list[Document]]:
    """The world on disk, without what lost its ground, and the documents that it changes.

    Others who had a say in what is lost are owed word of it.

    An intent that takes something out is finished: whoever asked for it may not
    ask again. One that only puts something in never was.
    """
    found = {
        thing.id: thing
        for kind in documents.KINDS
        for thing in committer.store.read(kind, partial(documents.decode, kind)).values()
    }
    stored = dict(found)
    for _, put, gone in committer.store.intents():
        if doomed := documents.decode_ids(gone):
            found.update({thing.id: thing for thing in documents.decode_things(put)})
            found = {id_: thing for id_, thing in found.items() if id_ not in doomed}
    things = found.values()
    nets = {t.id: t for t in things if isinstance(t, Network)}
    boxes = {t.id: t for t in things if isinstance(t, Sandbox) and alive(t)}
    kept: list[Thing] = [
        *sorted(nets.values(), key=lambda n: n.created),
        *sorted(boxes.values(), key=lambda b: b.created),
    ]
    kept += [
        t for t in things if isinstance(t, Endpoint) and t.sandbox in boxes and t.network in nets
    ]
    # Whoever is on other hosts is reached while the store has not been asked yet.
    kept += [t for t in things if isinstance(t, Peer) and t.network in nets]
    kept += [t for t in things if isinstance(t, Errand | Keyring)]
    ended = [
        (nets[t.network], t)
        for t in things
        if isinstance(t, Endpoint) and t.sandbox not in boxes and t.network in nets
    ]
    for net, ep in ended:
        if foreign(net):
            kept += parting(net, ep, lambda: draw(16), time.time_ns())
    world = World().after(Change(put=tuple(kept)))
    there = {thing.id: thing for thing in kept}
    changed = [documents.document(t) for t in kept if stored.get(t.id) != t]
    lost = [Document(documents.kind(t), t.id) for id_, t in stored.items() if id_ not in there]
    return world, lost + changed


def _parents(committer: Committer, begun: Begun) -> tuple[Network, ...]:
    """Networks that stand on the host's links otherwise than they did; says which cannot."""
    names = {net.parent for net in begun.world.networks.values() if net.on_parent}
    if not names:
        return ()
    found = committer.kernel.footing(names)
    theirs = parents.adopted(begun.world, found)
    after = begun.world.after(Change(put=theirs))
    begun.warnings += parents.missing(after, found)
    return theirs


def _predefined(committer: Committer, begun: Begun, settings: Settings, draw: Draw) -> Change:
    """The networks that are always there, with the default bridge as set now."""
    world = begun.world
    present = {net.name: net for net in world.networks.values() if net.predefined}
    put: list[Thing] = []
    drop: list[Thing] = []
    for name, driver in (("host", "host"), ("none", "null")):
        if name not in present:
            put.append(_plain(name, driver, draw))
    old = present.get("bridge")
    if settings.bridge == "none":
        return Change(tuple(put), (old,) if old and not world.on_network(old.id) else ())
    base = old or _plain("bridge", "bridge", draw)
    new = _default_bridge(committer, world, settings, base, begun.unique_local)
    if old is not None and world.on_network(old.id) and new.pools != old.pools:
        subnets = ", ".join(str(pool.subnet) for pool in old.pools)
        begun.warnings.append(
            f"{old.ifname} keeps {subnets} while containers run on it; "
            "stop them and restart to change it"
        )
        new = replace(new, pools=old.pools, enable_ipv6=old.enable_ipv6)
    if new != old:
        put.append(new)
    return Change(tuple(put), tuple(drop))


def _plain(name: str, driver: str, draw: Draw) -> Network:
    return Network(draw(32), name, driver, time.time_ns(), predefined=True)


def _default_bridge(
    committer: Committer, world: World, settings: Settings, base: Network, local: Base
) -> Network:
    around = committer.kernel.surroundings()
    options = {
        DEFAULT_BRIDGE: "true",
        ICC: str(settings.icc).lower(),
        MASQUERADE: str(settings.masquerade).lower(),
        HOST_BINDING: str(settings.binding or "0.0.0.0"),
        NAME: settings.bridge,
        MTU: str(settings.mtu or around.mtu or USUAL_MTU),
    }
    others = [pool.subnet for net in allocated(world) if net.id != base.id for pool in net.pools]

    def pool(version: int, wanted: _Wanted) -> Pool:
        kept = next((p for p in base.pools if p.subnet.version == version), None)
        if wanted.address:
            found = _interface(wanted, others)
        elif wanted.range is not None and version == 6:
            found = _interface(replace(wanted, address=_first(wanted.range)), others)
        else:
            bases = [b for b in (*settings.bases, local) if b.range.version == version]
            # As with Docker, docker0 keeps its subnet until another is asked for.
            found = kept or choose(bases, others, around.routes)
        router = {f"DefaultGatewayIPv{version}": wanted.router} if wanted.router else {}
        return replace(found, ip_range=wanted.range, auxiliary=router)

    four = _Wanted("bip", settings.bip, settings.fixed_cidr, settings.default_gateway)
    six = _Wanted("bip6", settings.bip6, settings.fixed_cidr_v6, settings.default_gateway_v6)
    pools = (pool(4, four), *((pool(6, six),) if settings.ipv6 else ()))
    return replace(base, options=options, pools=pools, enable_ipv6=settings.ipv6)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the settings say of one family on the default bridge."""

    key: str
    address: str
    range: IPNetwork | None
    router: IPAddress | None


def _first(subnet: IPNetwork) -> str:
    return f"{subnet[1]}/{subnet.prefixlen}"


def _interface(wanted: _Wanted, others: Sequence[IPNetwork]) -> Pool:
    """The pool of a bridge that has the address which was asked for."""
    try:
        interface = ip_interface(wanted.address)
        if "/" not in wanted.address:
            raise ValueError
    except ValueError:
        raise Invalid(
            f"invalid {wanted.key} {wanted.address!r}",
            hint='give an address with its prefix: "172.17.0.1/16"',
        ) from None
    for other in others:
        if other.version == interface.version and other.overlaps(interface.network):
            raise Invalid(f"{wanted.key} {wanted.address} overlaps the network {other}")
    return Pool(interface.network, interface.ip)


def _refuse_strangers(committer: Committer, world: World) -> None:
    found = committer.kernel.strangers(committer.wanted(world).keys())
    for key in found:
        if key[0] == "link":
            raise Conflict(
                f"the interface {key[2]} exists and is not fairlead's (does Docker run here?): "
                "stop that, remove it with `ip link delete "
                f"{key[2]}`, or start with --default-bridge-name NAME"
            )
        if key[0] == "nft":
            raise Conflict(
                f"the nftables table {key[1]} {key[2]} exists and is not fairlead's: remove it "
                f"with `nft delete table {key[1]} {key[2]}`, or start with --iptables-prefix NAME"
            )
        raise Conflict(
            f"the iptables chain {key[3]} in table {key[2]} exists and is not fairlead's (does "
            "Docker run here?): stop that and remove its chains, or start with "
            "--iptables-prefix NAME and --default-bridge-name NAME"
        )


def _note_forwarding(committer: Committer) -> None:
    """Remember across restarts whether it was us who turned forwarding on, for each family."""
    dropped = set()
    for version, path in FORWARDING.items():
        fact = "forwarding" if version == 4 else "forwarding6"
        kept = committer.store.load("fact").get(fact)
        if kept is None:
            setting = Sysctl(HOST, path, "1")
            found = committer.kernel.observe(Scope(frozenset({setting.key}), frozenset()))
            kept = b"theirs" if found.get(setting.key) == setting else b"ours"
            committer.store.put("fact", fact, kept)
        if kept == b"ours":
            dropped.add(version)
    if committer.host.forwarding and not committer.host.no_drop:
        committer.host = replace(committer.host, drop_forwarded=frozenset(dropped))


def _unique_local(committer: Committer, draw: Draw) -> Base:
    """The /48 of this host, drawn once: RFC 4193 wants it unlikely to meet another's."""
    drawn = committer.store.load("fact").get("unique-local")
    if drawn is None:
        drawn = bytes.fromhex(draw(5))
        committer.store.put("fact", "unique-local", drawn)
    return unique_local(drawn)
