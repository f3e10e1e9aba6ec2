"""The model: every network, sandbox, endpoint and peer there is, as one immutable value.

The controller swaps it whole; readers keep whichever they hold. What can be
derived is derived here (who is on a network, which endpoint is the gateway)
and stored nowhere on disk.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.model.endpoint import Endpoint
from fairlead.model.errand import Errand
from fairlead.model.keyring import Keyring
from fairlead.model.network import Block, Network
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.trait import Trait, traits

Thing = Network | Sandbox | Endpoint | Peer | Errand | Keyring


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the model: things put in (or in place of) and ids taken out."""

    put: tuple[Thing, ...] = ()
    drop: tuple[Thing, ...] = ()


Taken = Mapping[int, str]
"""The addresses of one family that endpoints have, as numbers, and the endpoints' ids."""
Bearer = Network | Sandbox | Endpoint
Bearers = Mapping[str, None]
"""The ids of those who bear a trait, oldest first."""
Afar = Mapping[str, Peer]
"""Peers of one network by id."""


@dataclass(frozen=True, slots=True)
class World:
    """All that exists. Made by `after`, from nothing; a change costs the same however large it is.

    The indices say nothing that the four tables do not.
    """

    networks: Mapping[str, Network] = field(default_factory=dict)
    sandboxes: Mapping[str, Sandbox] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    errands: Mapping[str, Errand] = field(default_factory=dict)
    ring: Keyring | None = None
    """What the keys of encrypted networks come of, while somebody here is on one."""
    _members: Mapping[str, tuple[Endpoint, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _joins: Mapping[str, tuple[Endpoint, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _taken: Mapping[tuple[str, int], Taken] = field(default_factory=dict, repr=False, compare=False)
    _named: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    _blocks: Mapping[int, tuple[Block, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _bearers: Mapping[Trait, Bearers] = field(default_factory=dict, repr=False, compare=False)
    _afar: Mapping[str, Afar] = field(default_factory=dict, repr=False, compare=False)
    _reach: Mapping[tuple[str, IPAddress], int] = field(
        default_factory=dict, repr=False, compare=False
    )

    def after(self, change: Change) -> World:
        """The world with a change made to it."""
        draft = _Draft(self)
        for thing in change.drop:
            draft.drop(thing.id)
        for thing in change.put:
            draft.put(thing)
        return draft.world()

    def called(self, name: str) -> Network | None:
        """The network of that name."""
        id_ = self._named.get(name)
        return self.networks[id_] if id_ is not None else None

    def taken(self, network: str, version: int) -> Taken:
        """The addresses that endpoints of a network have."""
        return self._taken.get((network, version), {})

    def on_network(self, network: str) -> tuple[Endpoint, ...]:
        """The endpoints of a network, oldest first."""
        return self._members.get(network, ())

    def users(self, network: str) -> tuple[Endpoint, ...]:
        """Those of them that are not just the host's own way in."""
        return tuple(e for e in self.on_network(network) if not self.sandboxes[e.sandbox].access)

    def blocks(self, version: int) -> Sequence[Block]:
        """The addresses of one family that networks hold, pool by pool, lowest first."""
        return self._blocks.get(version, ())

    def bearing(self, trait: Trait) -> Collection[str]:
        """The ids of the networks, sandboxes or endpoints that bear a trait."""
        return self._bearers.get(trait, {}).keys()

    def spanning(self) -> Iterator[Network]:
        """The networks that span hosts, by tunnels or by routes."""
        return (self.networks[id_] for id_ in self.bearing(Trait.SPANNING))

    def afar(self, network: str) -> Afar:
        """The peers of a network: its endpoints on other hosts, by id."""
        return self._afar.get(network, {})

    @property
    def reach(self) -> Collection[tuple[str, IPAddress]]:
        """Networks and the hosts on which they have peers."""
        return self._reach.keys()

    def reaches(self, network: str, host: IPAddress) -> bool:
        """Whether a network has peers on a host."""
        return (network, host) in self._reach

    def in_sandbox(self, sandbox: str) -> tuple[Endpoint, ...]:
        """The endpoints of a sandbox in the order of its joins."""
        return self._joins.get(sandbox, ())

    def joined(self, sandbox: str) -> tuple[Endpoint, ...]:
        """Those of them that somebody asked for, and not only the sandbox needs."""
        return tuple(e for e in self.in_sandbox(sandbox) if not e.service)

    def gateway(self, sandbox: str, version: int = 4) -> Endpoint | None:
        """The endpoint through which a sandbox reaches the world, if any does.

        Highest priority first, then one with both families, then the name of
        the network: the order that Docker documents since 28.
        """

        def rank(endpoint: Endpoint) -> tuple[int, bool, str]:
            single = len(endpoint.gateways) < 2
            return (-endpoint.priority, single, self.networks[endpoint.network].name)

        ways = [
            e
            for e in self.in_sandbox(sandbox)
            if e.gateway(version) is not None and not self.networks[e.network].internal
        ]
        return min(ways, key=rank, default=None)


class _Draft:
    """A world while it changes: tables are copied once, and of the indices what is touched."""

    def __init__(self, world: World) -> None:
        self.networks = dict(world.networks)
        self.sandboxes = dict(world.sandboxes)
        self.endpoints = dict(world.endpoints)
        self.peers = world.peers
        self.errands = world.errands
        self.ring = world.ring
        self.members = dict(world._members)
        self.joins = dict(world._joins)
        self.taken = dict(world._taken)
        self.named = dict(world._named)
        self.blocks = world._blocks
        self.bearers = world._bearers
        self.afar = world._afar
        self.reach = world._reach
        self._own: set[tuple[str, int]] = set()
        self._own_peers: set[str] = set()

    def world(self) -> World:
        return World(
            self.networks,
            self.sandboxes,
            self.endpoints,
            self.peers,
            self.errands,
            self.ring,
            self.members,
            self.joins,
            self.taken,
            self.named,
            self.blocks,
            self.bearers,
            self.afar,
            self.reach,
        )

    def drop(self, id_: str) -> None:
        self._cease(self.sandboxes.pop(id_, None))
        if id_ in self.errands:
            self.errands = {k: v for k, v in self.errands.items() if k != id_}
        if self.ring is not None and id_ == self.ring.id:
            self.ring = None
        network = self.networks.pop(id_, None)
        self._cease(network)
        if network is not None:
            self.named.pop(network.name, None)
            self._hold(network, held=False)
        endpoint = self.endpoints.pop(id_, None)
        self._cease(endpoint)
        if endpoint is not None:
            self._forget(endpoint)
        if id_ in self.peers:
            self._lose(self.peers[id_])

    def put(self, thing: Thing) -> None:
        match thing:
            case Network():
                old = self.networks.get(thing.id)
                if old is not None:
                    self.named.pop(old.name, None)
                    self._hold(old, held=False)
                self._hold(thing, held=True)
                self._become(old, thing)
                self.networks[thing.id] = thing
                self.named[thing.name] = thing.id
            case Sandbox():
                self._become(self.sandboxes.get(thing.id), thing)
                self.sandboxes[thing.id] = thing
            case Errand():
                self.errands = {**self.errands, thing.id: thing}
            case Keyring():
                self.ring = thing
            case Endpoint():
                before = self.endpoints.get(thing.id)
                if before is not None:
                    self._forget(before)
                self._become(before, thing)
                self.endpoints[thing.id] = thing
                self._learn(thing)
            case Peer():
                if thing.id in self.peers:
                    self._lose(self.peers[thing.id])
                self._find(thing)

    def _hold(self, net: Network, held: bool) -> None:
        """Its pools are taken now, or free; what others are to be like takes none."""
        for subnet in (pool.subnet for pool in net.pools if not net.config_only):
            block = (int(subnet.network_address), int(subnet.broadcast_address))
            there = list(self.blocks.get(subnet.version, ()))
            if held:
                insort(there, block)
            else:
                there.remove(block)
            self.blocks = {**self.blocks, subnet.version: tuple(there)}

    def _cease(self, thing: Bearer | None) -> None:
        if thing is None:
            return
        for trait in traits(thing):
            left = {id_: None for id_ in self.bearers[trait] if id_ != thing.id}
            self.bearers = {**self.bearers, trait: left}

    def _become(self, old: Bearer | None, thing: Bearer) -> None:
        had, has = traits(old) if old is not None else frozenset(), traits(thing)
        if had != has:
            self._cease(old)
            for trait in has:
                there = self.bearers.get(trait, {})
                self.bearers = {**self.bearers, trait: {**there, thing.id: None}}

    def _find(self, peer: Peer) -> None:
        peers, afar, reach = self._tables_of_peers(peer.network)
        peers[peer.id] = afar[peer.id] = peer
        place = (peer.network, peer.host)
        reach[place] = reach.get(place, 0) + 1

    def _lose(self, peer: Peer) -> None:
        peers, afar, reach = self._tables_of_peers(peer.network)
        del peers[peer.id], afar[peer.id]
        place = (peer.network, peer.host)
        reach[place] -= 1
        if not reach[place]:
            del reach[place]

    def _tables_of_peers(
        self, network: str
    ) -> tuple[dict[str, Peer], dict[str, Peer], dict[tuple[str, IPAddress], int]]:
        """The tables to write to; they are copied when the first peer changes: mostly none does."""
        if not self._own_peers:
            self.peers, self.afar, self.reach = dict(self.peers), dict(self.afar), dict(self.reach)
        if network not in self._own_peers:
            self._own_peers.add(network)
            self.afar[network] = dict(self.afar.get(network, {}))  # type: ignore[index]
        return self.peers, self.afar[network], self.reach  # type: ignore[return-value]

    def _learn(self, endpoint: Endpoint) -> None:
        there = self.members.get(endpoint.network, ())
        self.members[endpoint.network] = (*there, endpoint)
        mine = (*self.joins.get(endpoint.sandbox, ()), endpoint)
        self.joins[endpoint.sandbox] = tuple(sorted(mine, key=lambda e: e.order))
        for address in endpoint.addresses:
            self._addresses(endpoint.network, address.version)[int(address.ip)] = endpoint.id

    def _forget(self, endpoint: Endpoint) -> None:
        for index, key in ((self.members, endpoint.network), (self.joins, endpoint.sandbox)):
            left = tuple(e for e in index[key] if e.id != endpoint.id)
            if left:
                index[key] = left
            else:
                del index[key]
        for address in endpoint.addresses:
            self._addresses(endpoint.network, address.version).pop(int(address.ip), None)

    def _addresses(self, network: str, version: int) -> dict[int, str]:
        key = (network, version)
        if key not in self._own:
            self._own.add(key)
            self.taken[key] = dict(self.taken.get(key, {}))
        return self.taken[key]  # type: ignore[return-value]  # copied above, so it is a dict
