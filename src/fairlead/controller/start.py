"""The start: from what the store says to a host that is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface

from fairlead.controller import documents, want
from fairlead.controller.commit import Committer
from fairlead.controller.join import Draw
from fairlead.controller.resume import resume
from fairlead.ipam.pool import DEFAULT_BASES, Base, choose
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.network import Network, Pool
from fairlead.model.options import (
    DEFAULT_BRIDGE,
    HOST_BINDING,
    ICC,
    MASQUERADE,
    MTU,
    NAME,
)
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, IPAddress, IPNetwork, Scope, Step, Sysctl
from fairlead.model.world import Change, Thing, World
from fairlead.store.sqlite import Document


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon's flags and daemon.json say about networks. Empty `bip`: choose."""

    bridge: str = "docker0"
    bip: str = ""
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    binding: IPAddress | None = None
    fixed_cidr: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    bases: Sequence[Base] = DEFAULT_BASES


@dataclass(slots=True)
class Begun:
    """The world at the start, what it took to make it real, and what could not be done."""

    world: World
    steps: tuple[Step, ...] = ()
    warnings: list[str] = field(default_factory=list)


async def start(
    committer: Committer,
    settings: Settings,
    alive: Callable[[Sandbox], bool],
    upstreams: tuple[IPAddress, ...],
    draw: Draw,
) -> Begun:
    """Load, complete, check, repair; then bring the dataplane to the same state."""
    begun = Begun(World())

    def work() -> None:
        world, rubbish = _load(committer, alive)
        begun.world = world
        change = _predefined(committer, begun, settings, draw)
        begun.world = world.after(change)
        committer.kernel.reap()
        _refuse_strangers(committer, begun.world)
        _note_forwarding(committer)
        begun.steps = committer.repair(begun.world)
        committer.store.write(rubbish + documents.documents(change))
        for number, _, _ in committer.store.intents():
            committer.store.abandon(number)

    await committer.on_thread(work)
    begun.warnings += await resume(committer, begun.world, upstreams)
    return begun


def _load(committer: Committer, alive: Callable[[Sandbox], bool]) -> tuple[World, list[Document]]:
    """The world on disk, without what lost its ground, and the documents that it changes.

    An intent that takes something out is finished: whoever asked for it may not
    ask again. One that only puts something in never was.
    """
    found = {
        thing.id: thing
        for kind in documents.KINDS
        for body in committer.store.load(kind).values()
        for thing in [documents.decode(kind, body)]
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
    world = World().after(Change(put=tuple(kept)))
    there = {thing.id: thing for thing in kept}
    changed = [documents.document(t) for t in kept if stored.get(t.id) != t]
    lost = [Document(documents.kind(t), t.id) for id_, t in stored.items() if id_ not in there]
    return world, lost + changed


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
    new = _default_bridge(committer, world, settings, old or _plain("bridge", "bridge", draw))
    if old is not None and world.on_network(old.id) and new.pools != old.pools:
        begun.warnings.append(
            f"{old.ifname} keeps {old.pools[0].subnet} while containers run on it; "
            "stop them and restart to change it"
        )
        new = replace(new, pools=old.pools)
    if new != old:
        put.append(new)
    return Change(tuple(put), tuple(drop))


def _plain(name: str, driver: str, draw: Draw) -> Network:
    return Network(draw(32), name, driver, time.time_ns(), predefined=True)


def _default_bridge(
    committer: Committer, world: World, settings: Settings, base: Network
) -> Network:
    options = {
        DEFAULT_BRIDGE: "true",
        ICC: str(settings.icc).lower(),
        MASQUERADE: str(settings.masquerade).lower(),
        HOST_BINDING: str(settings.binding or "0.0.0.0"),
        NAME: settings.bridge,
        MTU: str(settings.mtu),
    }
    others = [
        pool.subnet for net in world.networks.values() if net.id != base.id for pool in net.pools
    ]
    kept = base.pools[0] if base.pools else None
    if settings.bip:
        pool = _bip(settings, others)
    else:
        # As with Docker, docker0 keeps its subnet until another is asked for.
        pool = kept or choose(settings.bases, others, committer.kernel.occupied())
    reserved = {"DefaultGatewayIPv4": settings.default_gateway} if settings.default_gateway else {}
    pool = replace(pool, ip_range=settings.fixed_cidr, auxiliary=reserved)
    return replace(base, options=options, pools=(pool,))


def _bip(settings: Settings, others: Sequence[IPNetwork]) -> Pool:
    try:
        interface = ip_interface(settings.bip)
        if "/" not in settings.bip:
            raise ValueError
    except ValueError:
        raise Invalid(
            f"invalid bip {settings.bip!r}", hint='give an address with its prefix: "172.17.0.1/16"'
        ) from None
    for other in others:
        if other.version == interface.version and other.overlaps(interface.network):
            raise Invalid(f"bip {settings.bip} overlaps the network {other}")
    return Pool(interface.network, interface.ip)


def _refuse_strangers(committer: Committer, world: World) -> None:
    wanted, _ = want.states(want.claims(world, committer.renderers, committer.host))
    found = committer.kernel.strangers(wanted.keys())
    for key in found:
        if key[0] == "link":
            raise Conflict(
                f"the interface {key[2]} exists and is not fairlead's (does Docker run here?): "
                "stop that, remove it with `ip link delete "
                f"{key[2]}`, or start with --default-bridge-name NAME"
            )
        raise Conflict(
            f"the iptables chain {key[3]} in table {key[2]} exists and is not fairlead's (does "
            "Docker run here?): stop that and remove its chains, or start with "
            "--iptables-prefix NAME and --default-bridge-name NAME"
        )


def _note_forwarding(committer: Committer) -> None:
    """Remember across restarts whether it was us who turned forwarding on."""
    kept = committer.store.load("fact").get("forwarding")
    if kept is None:
        setting = Sysctl(HOST, "net/ipv4/ip_forward", "1")
        found = committer.kernel.observe(Scope(frozenset({setting.key}), frozenset()))
        kept = b"theirs" if found.get(setting.key) == setting else b"ours"
        committer.store.put("fact", "forwarding", kept)
    if committer.host.forwarding:
        committer.host = replace(committer.host, drop_forwarded=kept == b"ours")
