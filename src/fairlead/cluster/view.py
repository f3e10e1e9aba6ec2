"""The view: what one host makes of all that lies in the store.

It is folded from the store's events (`folding`), one at a time, and never raises. A value that is
refused becomes a complaint under its key and changes nothing else: what the key said
before stands, so that a spoilt value takes nobody's traffic away.

An endpoint counts as a peer when all of this holds, whoever wrote it and in whatever
order things became known:

- its value is sound, and its network is known;
- its addresses lie in the network's pools;
- they, its MAC and its id are nobody's else: of several of whom the above holds and who
  claim one, the one that was known first has it (of those that became known at once, the
  one with the lowest key), until it goes or claims it no more. An id is one's in the whole
  cluster, so what lies under another network's key takes nothing from whose it is.

A network on which such endpoints are stays what it is: a record of it with other pools, another
driver or another name is refused like a value that is not sound.

Two networks that claim one VNI would be one to every container in them: the first that
was known has it, the other one has none as long as that lasts.

The cost of an event does not depend on how many endpoints there are; that of a change of
a network depends on how many it has.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from fairlead.cluster.folding import Claim, Claimants, Folding, Groups, Member, claim_of
from fairlead.cluster.keys import Keys
from fairlead.cluster.network import NetworkRecord
from fairlead.cluster.node import Node
from fairlead.cluster.overlay import NO_VNI, Overlay
from fairlead.cluster.table import Table
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress, IPNetwork

_NONE: Table[str, Peer] = Table()
_NOBODY: Table[Member, Peer] = Table()


@dataclass(frozen=True, slots=True)
class View:
    """All that is known of a cluster. Made by `of` and `after`."""

    keys: Keys = field(default_factory=Keys)
    networks: Table[str, NetworkRecord] = field(default_factory=Table)
    overlays: Table[str, Overlay] = field(default_factory=Table)
    nodes: Table[str, Node] = field(default_factory=Table)
    hosts: frozenset[IPAddress] = frozenset()
    """The hosts that are alive, as the store says."""
    complaints: Table[str, str] = field(default_factory=Table)
    """What was refused: key and reason."""
    _said: Table[str, Table[str, Peer]] = field(default_factory=Table, repr=False)
    """Every endpoint whose value is sound, by network."""
    _peers: Table[str, Table[str, Peer]] = field(default_factory=Table, repr=False)
    """Those of them that count."""
    _there: Table[IPAddress, Table[Member, Peer]] = field(default_factory=Table, repr=False)
    """Every endpoint whose value is sound, by host."""
    _claims: Table[Claim, Claimants] = field(default_factory=Table, repr=False)
    _vnis: Table[int, tuple[str, ...]] = field(default_factory=Table, repr=False)
    """Networks by the VNIs that they claim."""
    _raw: Table[str, bytes] = field(default_factory=Table, repr=False, compare=False)
    """Every value as it was last heard: one that is heard again says nothing new."""

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[str, bytes]],
        keys: Keys | None = None,
        before: View | None = None,
    ) -> View:
        """The view of all that is there now; who was known in the view before stays first."""
        view = before if before is not None else cls(keys if keys is not None else Keys())
        return _done(view._with(pairs, _known(view)))

    def after(self, key: str, value: bytes | None) -> View:
        """The view after a key was written, or (None) removed."""
        folding = self._folding()
        folding.take(key, value)
        return self._after(folding)

    def renewed(self, folder: str, pairs: Iterable[tuple[str, bytes]]) -> View:
        """The view when just that is below a folder; who was known before stays first."""
        return _done(self.renewing(folder, pairs))

    def renewing(
        self, folder: str, pairs: Iterable[tuple[str, bytes]]
    ) -> Generator[None, None, View]:
        """The same in pieces: of a large cluster it takes seconds, in which others are to go on."""
        known = {key for key in _known(self) if key.startswith(f"{folder}/")}
        return (yield from self._with(pairs, known))

    def endpoints(self, network: str) -> Table[str, Peer]:
        """The endpoints of a network that count, on whichever host, by id."""
        return self._peers.get(network, _NONE)

    def on(self, host: IPAddress) -> Iterator[Peer]:
        """The endpoints of a host that count."""
        for (network, id_), peer in self._there.get(host, _NOBODY).items():
            if self.endpoints(network).get(id_) is peer:
                yield peer

    def at(self, network: str, address: IPAddress) -> Peer | None:
        """The endpoint that has an address of a network."""
        claimants = self._claims.get(claim_of(network, address), ())
        return self.endpoints(network).get(claimants[0][1]) if claimants else None

    def said(self, network: str, endpoint: str) -> Peer | None:
        """An endpoint as it is written, whether it counts or not."""
        return self._said.get(network, _NONE).get(endpoint)

    def rivals(self, network: str, endpoint: str) -> frozenset[str]:
        """The other endpoints that claim an address of an endpoint."""
        peer = self.said(network, endpoint)
        claims = () if peer is None else (claim_of(network, each) for each in peer.addresses)
        claimants = (member for claim in claims for member in self._claims.get(claim, ()))
        return frozenset(member[1] for member in claimants if member != (network, endpoint))

    def vni(self, network: str, subnet: IPNetwork) -> int:
        """The VNI of a network's subnet; `NO_VNI` while it has none that it can use."""
        overlay = self.overlays.get(network)
        vni = NO_VNI if overlay is None else overlay.vni(subnet)
        return vni if self._vnis.get(vni, (network,))[0] == network else NO_VNI

    def _with(
        self, pairs: Iterable[tuple[str, bytes]], known: set[str]
    ) -> Generator[None, None, View]:
        """The view when of all that is known just that is there."""
        now = {key.strip("/"): value for key, value in pairs}
        folding = self._folding()
        for key in sorted(known - now.keys()):
            folding.take(key, None)
        yield from folding.take_all(now.items())
        return self._after(folding)

    def _folding(self) -> Folding:
        return Folding(
            self.keys,
            self.networks.draft(),
            self.overlays.draft(),
            self.nodes.draft(),
            self.complaints.draft(),
            Groups(self._said),
            Groups(self._peers),
            Groups(self._there),
            self._claims.draft(),
            self._vnis.draft(),
            self._raw.draft(),
        )

    def _after(self, folding: Folding) -> View:
        nodes, hosts = folding.nodes.table(), self.hosts
        if nodes is not self.nodes:
            hosts = frozenset(node.address for node in nodes.values())
        return View(
            self.keys,
            folding.networks.table(),
            folding.overlays.table(),
            nodes,
            hosts,
            folding.complaints.table(),
            folding.said.table(),
            folding.peers.table(),
            folding.there.table(),
            folding.claims.table(),
            folding.vnis.table(),
            folding.raw.table(),
        )


def _done(work: Generator[None, None, View]) -> View:
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: View = end.value
            return found


def peers(view: View, network: str, own: IPAddress, alive: Container[IPAddress]) -> list[Peer]:
    """A network's endpoints on other hosts, as the host with that address is to see them."""
    return [peer for peer in view.endpoints(network).values() if remote(peer, own, alive)]


def remote(peer: Peer, own: IPAddress, alive: Container[IPAddress]) -> bool:
    """Whether a peer is on another host, and that one is alive."""
    return peer.host != own and peer.host in alive


def changed(before: View, after: View) -> Iterator[tuple[Peer | None, Peer | None]]:
    """The endpoints that two views do not have in common: as they were, and as they are."""
    for network in after._peers.differing(before._peers):
        was, now = before.endpoints(network), after.endpoints(network)
        for endpoint in now.differing(was):
            yield was.get(endpoint), now.get(endpoint)


def _known(view: View) -> set[str]:
    """Every key that the view says something about."""
    keys = view.keys
    endpoints = (
        keys.endpoint(network, endpoint)
        for network, inner in view._said.items()
        for endpoint in inner
    )
    return {
        *map(keys.network, view.networks),
        *map(keys.overlay, view.overlays),
        *endpoints,
        *view.nodes,
        *view.complaints,
    }
