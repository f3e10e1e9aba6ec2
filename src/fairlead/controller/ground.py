"""ground: which hosts share a segment with this one, and what of a world rests on that.

Routes to other hosts' containers lead to those hosts without a gateway in between, through
links that are not ours: they come, go and get other addresses. The kernel is asked whenever
a host comes to be known, when such a link or route changes, and with every audit. What it
said last is part of what the daemon knows of its host (`want.Host`), so that plans stay pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from fairlead.cluster.docker import by_docker
from fairlead.controller import want
from fairlead.controller.want import Claim, Host
from fairlead.firewall.renderer import Firewall
from fairlead.kernel.port import Kernel
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress, State
from fairlead.model.step import Step
from fairlead.model.world import Change, World
from fairlead.plan.diff import diff


def survey(
    kernel: Kernel,
    world: World,
    walls: Firewall,
    host: Host,
    hosts: Collection[IPAddress] | None = None,
) -> tuple[Host, tuple[Step, ...]]:
    """Ask where some hosts are, or (None) all that a world knows. Kernel thread.

    The host as it is known now, and the steps from what the world called for before.
    """
    routed = {net.id for net in world.spanning() if net.routed}
    old = host.ground
    known = not routed if hosts is None else not hosts and old.link
    if host.underlay is None or known:
        return host, ()
    asked = {there for id_, there in world.reach if id_ in routed} if hosts is None else set(hosts)
    found = kernel.ground(host.underlay, asked)
    kept = {there: link for there, link in old.near.items() if there not in asked}
    kept = kept if hosts is not None else {}
    six = found.six | (old.six & frozenset(kept.values()))
    now = replace(host, ground=replace(found, near={**kept, **found.near}, six=six))
    if now.ground == old:
        return host, ()
    return now, diff(_resting(world, walls, now), _resting(world, walls, host))


def _resting(world: World, walls: Firewall, host: Host) -> State:
    """What of a world rests on where other hosts are."""
    found: list[Claim] = list(want.hops(world, host))
    for net in _standing(world, host):
        for who in world.afar(net.id).values():
            found += want.peer(world, who, walls, host)
    for id_, there in world.reach:
        found += want.heard(world, id_, there, walls, host) if _is_routed(world, id_) else ()
    wanted, _ = want.states(found)
    return wanted


def _is_routed(world: World, id_: str) -> bool:
    net = world.networks.get(id_)
    return net is not None and net.routed


def _standing(world: World, host: Host) -> Iterator[Network]:
    return (net for net in world.spanning() if want.routed_here(world, net, host))


class Unreached:
    """Says, once, which hosts' containers are out of reach, and why."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._far: set[tuple[str, IPAddress]] = set()
        self._tunnelling: set[tuple[str, IPAddress]] = set()

    def look(self, world: World, host: Host, change: Change | None = None) -> None:
        """At what a change brought (None: at all) as the host is now."""
        nets = {net.id: net for net in _standing(world, host)}
        if not nets and not self._far:
            return
        near = host.ground.near
        far = {(id_, there) for id_, there in world.reach if id_ in nets and there not in near}
        for id_, there in sorted(far - self._far, key=str):
            self._warn(
                f"host {there} is behind a router, not on a segment with this one: its containers "
                f"on network {nets[id_].name}, which has no encapsulation, are out of reach"
            )
        self._far = far
        put = world.peers.values() if change is None else change.put
        for who in put:
            if isinstance(who, Peer) and who.network in nets and by_docker(who):
                self._tell_tunnelling(nets[who.network], who.host)

    def _tell_tunnelling(self, net: Network, there: IPAddress) -> None:
        if (net.id, there) not in self._tunnelling:
            self._tunnelling.add((net.id, there))
            self._warn(
                f"host {there} runs Docker 20.10, which knows networks in VXLAN only: on network "
                f"{net.name}, which has no encapsulation, its containers and others do not reach "
                "each other"
            )
