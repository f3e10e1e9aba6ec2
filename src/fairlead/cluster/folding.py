"""folding: a view while it changes, by one event or by all that is there. Never raises.

Its tables are drafts, so that what many events write is copied once. What counts and what is
refused is told in `view`; here each value is judged as it comes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fairlead.cluster.endpoint import misplaced
from fairlead.cluster.keys import (
    EndpointKey,
    Keys,
    Meaning,
    NetworkKey,
    NodeKey,
    OverlayKey,
)
from fairlead.cluster.network import NetworkRecord
from fairlead.cluster.node import Node
from fairlead.cluster.overlay import NO_VNI, Overlay
from fairlead.cluster.table import Draft, Table
from fairlead.cluster.values import Value, read
from fairlead.model.errors import Invalid
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress

PIECE = 200
"""So many values are read without letting others do something: 30 ms."""

Member = tuple[str, str]
"""A network's id and an endpoint's."""
Claim = tuple[str, object]
"""A network, and something that only one endpoint of it can have: a MAC, or an address.

Or no network, and an endpoint's id, which is one's in the whole cluster.
"""
Claimants = tuple[Member, ...]
"""Who claims something, the first that was known first."""

G = TypeVar("G", bound=Hashable)
M = TypeVar("M", bound=Hashable)


class Groups(Generic[G, M]):
    """Endpoints in tables of their own, while they change; a group without any is not there."""

    __slots__ = ("_before", "_drafts")

    def __init__(self, before: Table[G, Table[M, Peer]]) -> None:
        self._before = before
        self._drafts: dict[G, Draft[M, Peer]] = {}

    def __contains__(self, group: G) -> bool:
        draft = self._drafts.get(group)
        return group in self._before if draft is None else len(draft) > 0

    def get(self, group: G, member: M) -> Peer | None:
        """An endpoint."""
        draft = self._drafts.get(group)
        if draft is not None:
            return draft.get(member)
        inner = self._before.get(group)
        return None if inner is None else inner.get(member)

    def of(self, group: G) -> tuple[M, ...]:
        """The endpoints of a group."""
        draft = self._drafts.get(group)
        return tuple(self._before.get(group, ()) if draft is None else draft)

    def place(self, group: G, member: M, peer: Peer | None) -> None:
        """An endpoint as it is now; None: without it."""
        draft = self._drafts.get(group)
        if draft is None:
            inner: Table[M, Peer] | None = self._before.get(group)
            draft = self._drafts[group] = (Table() if inner is None else inner).draft()
        if peer is None:
            draft.drop(member)
        else:
            draft.put(member, peer)

    def table(self) -> Table[G, Table[M, Peer]]:
        """All of them as they are now."""
        found = self._before.draft()
        for group, draft in self._drafts.items():
            if len(draft):
                found.put(group, draft.table())
            else:
                found.drop(group)
        return found.table()


@dataclass(slots=True)
class Folding:
    """What a view holds, and how it changes."""

    keys: Keys
    networks: Draft[str, NetworkRecord]
    overlays: Draft[str, Overlay]
    nodes: Draft[str, Node]
    complaints: Draft[str, str]
    said: Groups[str, str]
    peers: Groups[str, str]
    there: Groups[IPAddress, Member]
    claims: Draft[Claim, Claimants]
    vnis: Draft[int, tuple[str, ...]]
    raw: Draft[str, bytes]

    def take(self, key: str, value: bytes | None) -> None:
        """A key was written, or (None) removed."""
        meaning = self.keys.meaning(key)
        if meaning is not None:
            self._take(meaning, key.strip("/"), value)

    def take_all(self, pairs: Iterable[tuple[str, bytes]]) -> Iterator[None]:
        """All that is there: networks first, so that their endpoints are looked at once.

        It is done piece by piece, as whoever asks for the next one likes.
        """
        ranked: list[tuple[int, str, bytes, Meaning]] = []
        for said, value in pairs:
            key = said.strip("/")
            # Most of what is heard again is as it was.
            if self.raw.get(key) == value and key not in self.complaints:
                continue
            meaning = self.keys.meaning(key)
            if meaning is not None:
                ranked.append((_rank(meaning), key, value, meaning))
        for number, (_, key, value, meaning) in enumerate(sorted(ranked, key=lambda r: r[:2])):
            self._take(meaning, key, value)
            if number % PIECE == PIECE - 1:
                yield

    def _take(self, meaning: Meaning, key: str, value: bytes | None) -> None:
        if value is None:
            self.raw.drop(key)
        elif self.raw.get(key) == value and key not in self.complaints:
            # What was refused may be right by now, as it is.
            return
        else:
            self.raw.put(key, value)
        found: Value | None = None
        try:
            found = None if value is None else read(meaning, value)
        except Invalid as error:
            self.complaints.put(key, error.message)
            return
        self.complaints.drop(key)
        match meaning:
            case EndpointKey(network, endpoint):
                self._endpoint((network, endpoint), found if isinstance(found, Peer) else None)
            case NetworkKey(network):
                self._network(network, found if isinstance(found, NetworkRecord) else None)
            case OverlayKey(network):
                self._overlay(network, found if isinstance(found, Overlay) else None)
            case NodeKey() if isinstance(found, Node):
                self.nodes.put(key, found)
            case NodeKey():
                self.nodes.drop(key)
            case _:
                return

    def _network(self, network: str, record: NetworkRecord | None) -> None:
        known = self.networks.get(network)
        if record == known:
            return
        if record is not None and known is not None and network in self.peers:
            if record.removing:
                # It goes as what it was: nobody is taken off it before it is gone.
                record = replace(record, network=known.network, pools=known.pools)
            elif record.network.essence != known.network.essence:
                reason = "it is another network than it was, and endpoints are on it"
                self.complaints.put(self.keys.network(network), reason)
                return
        if record is None:
            self.networks.drop(network)
        else:
            self.networks.put(network, record)
        for endpoint in self.said.of(network):
            peer = self.said.get(network, endpoint)
            self._claim((network, endpoint), peer, peer)

    def _overlay(self, network: str, overlay: Overlay | None) -> None:
        old, new = _vnis(self.overlays.get(network)), _vnis(overlay)
        touched: set[str] = {network}
        for vni in old ^ new:
            holders = self.vnis.get(vni) or ()
            touched.update(holders)
            if vni in new:
                self.vnis.put(vni, (*holders, network))
            else:
                _keep(self.vnis, vni, tuple(each for each in holders if each != network))
        if overlay is None:
            self.overlays.drop(network)
        else:
            self.overlays.put(network, overlay)
        for each in touched:
            theirs = self.overlays.get(each)
            if theirs is not None:
                first = {vni: (self.vnis.get(vni) or (each,))[0] for vni in _vnis(theirs)}
                others = [f"{vni} is {first[vni]}'s" for vni in sorted(first) if first[vni] != each]
                self._complain(
                    self.keys.overlay(each), f"its VNI {', '.join(others)}" if others else None
                )

    def _endpoint(self, member: Member, peer: Peer | None) -> None:
        network, endpoint = member
        old = self.said.get(network, endpoint)
        self.said.place(network, endpoint, peer)
        if old is not None and (peer is None or peer.host != old.host):
            self.there.place(old.host, member, None)
        if peer is not None:
            self.there.place(peer.host, member, peer)
        self._claim(member, old, peer)

    def _claim(self, member: Member, old: Peer | None, peer: Peer | None) -> None:
        """What an endpoint claims now; who cannot be where it says it is claims nothing."""
        touched: set[Member] = {member}
        before = {claim for claim in claimed(old) if member in (self.claims.get(claim) or ())}
        now = set() if peer is None or self._misplaced(peer) else claimed(peer)
        for claim in before ^ now:
            claimants = self.claims.get(claim) or ()
            # Who comes first changes something for all others; nobody else does.
            if claimants[:1] == (member,):
                touched.update(claimants)
            if claim in now:
                self.claims.put(claim, (*claimants, member))
            else:
                _keep(self.claims, claim, tuple(each for each in claimants if each != member))
        for each in touched:
            self._judge(each)

    def _judge(self, member: Member) -> None:
        """Among the peers if it counts, and a complaint if it does not."""
        network, endpoint = member
        peer = self.said.get(network, endpoint)
        if peer is None:
            self.peers.place(network, endpoint, None)
            return
        reason = self._why_not(member, peer)
        self.peers.place(network, endpoint, None if reason else peer)
        self._complain(self.keys.endpoint(network, endpoint), reason)

    def _misplaced(self, peer: Peer) -> str | None:
        record = self.networks.get(peer.network)
        return None if record is None else misplaced(peer, record.network)

    def _why_not(self, member: Member, peer: Peer) -> str | None:
        if member[0] not in self.networks:
            return "its network is not known"
        wrong = self._misplaced(peer)
        if wrong is not None:
            return wrong
        for what, claim in (
            (f"the id {peer.id}", ("", peer.id)),
            (peer.mac, (peer.network, peer.mac)),
            *((a.ip, claim_of(peer.network, a)) for a in peer.addresses),
        ):
            first = (self.claims.get(claim) or (member,))[0]
            if first[0] != member[0]:
                return f"{what} is that of an endpoint of the network {first[0]}"
            if first != member:
                return f"{what} is the endpoint's {first[1]}"
        return None

    def _complain(self, key: str, reason: str | None) -> None:
        if reason:
            self.complaints.put(key, reason)
        else:
            self.complaints.drop(key)


def claim_of(network: str, address: IPAddress) -> Claim:
    """The claim to an address. In numbers: those of objects take long to hash."""
    return network, (address.version, int(address))


def claimed(peer: Peer | None) -> set[Claim]:
    """All that an endpoint claims."""
    if peer is None:
        return set()
    found: set[Claim] = {claim_of(peer.network, address) for address in peer.addresses}
    found.add(("", peer.id))
    return found | ({(peer.network, peer.mac)} if peer.mac else set())


def _keep(table: Draft[G, tuple[M, ...]], key: G, left: tuple[M, ...]) -> None:
    if left:
        table.put(key, left)
    else:
        table.drop(key)


def _vnis(overlay: Overlay | None) -> set[int]:
    segments = () if overlay is None else overlay.segments
    return {segment.vni for segment in segments if segment.vni != NO_VNI}


def _rank(meaning: Meaning) -> int:
    match meaning:
        case NetworkKey():
            return 0
        case OverlayKey():
            return 1
        case _:
            return 2
