"""The view: what one host makes of all that lies in the store.

It is folded from the store's events, one at a time, and never raises. A value that is
refused becomes a complaint under its key and changes nothing else: what the key said
before stands, so that a spoilt value takes nobody's traffic away.

An endpoint counts as a peer when all of this holds, whoever wrote it and in whatever
order things became known:

- its value is sound, and its network is known;
- its addresses lie in the network's pools and are nobody's else there: of several that
  claim an address or a MAC, the one that was known first has it (of those that became
  known at once, the one with the lowest key), until it goes or claims it no more.

A network on which such endpoints are stays what it is: a record of it with other pools, another
driver or another name is refused like a value that is not sound.

Two networks that claim one VNI would be one to every container in them: the first that
was known has it, the other one has none as long as that lasts.

The cost of an event does not depend on how many endpoints there are; that of a change of
a network depends on how many it has.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace

from fairlead.cluster.endpoint import decode_endpoint, misplaced
from fairlead.cluster.keys import (
    SPACE,
    VXLAN_IDS,
    AddressesKey,
    CountKey,
    EndpointKey,
    Keys,
    Meaning,
    NetworkKey,
    NodeKey,
    NumbersKey,
    OverlayKey,
    PoolsKey,
)
from fairlead.cluster.network import NetworkRecord, decode_network
from fairlead.cluster.node import Node, decode_node
from fairlead.cluster.overlay import NO_VNI, Overlay, decode_overlay
from fairlead.cluster.pools import decode_pools
from fairlead.cluster.sequence import decode as decode_sequence
from fairlead.cluster.table import Table
from fairlead.cluster.text import decoded, number_of
from fairlead.model.errors import Invalid
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress, IPNetwork

MOST_COUNT = (1 << 63) - 1

Claim = tuple[str, object]
"""Something that only one endpoint of a network can have: an address, or a MAC."""
Member = tuple[str, str]
"""A network's id and an endpoint's."""
Claimants = tuple[Member, ...]
"""Who claims something, the first that was known first."""

_NONE: Table[str, Peer] = Table()


@dataclass(frozen=True, slots=True)
class View:
    """All that is known of a cluster. Made by `of` and `after`."""

    keys: Keys = field(default_factory=Keys)
    networks: Table[str, NetworkRecord] = field(default_factory=Table)
    overlays: Table[str, Overlay] = field(default_factory=Table)
    nodes: Table[str, Node] = field(default_factory=Table)
    complaints: Table[str, str] = field(default_factory=Table)
    """What was refused: key and reason."""
    _said: Table[str, Table[str, Peer]] = field(default_factory=Table, repr=False)
    """Every endpoint whose value is sound, by network."""
    _peers: Table[str, Table[str, Peer]] = field(default_factory=Table, repr=False)
    """Those of them that count."""
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
        now = {key.strip("/"): value for key, value in pairs}
        for key in sorted(_known(view) - now.keys()):
            view = view.after(key, None)
        # Networks first, so that their endpoints need not be looked at twice.
        for key in sorted(now, key=lambda key: (_rank(view.keys.meaning(key)), key)):
            view = view.after(key, now[key])
        return view

    def after(self, key: str, value: bytes | None) -> View:
        """The view after a key was written, or (None) removed."""
        meaning = self.keys.meaning(key)
        if meaning is None:
            return self
        key = key.strip("/")
        if value is not None and self._raw.get(key) == value and key not in self.complaints:
            # What was refused may be right by now, as it is.
            return self
        raw = self._raw.drop(key) if value is None else self._raw.put(key, value)
        found: object = None
        try:
            found = None if value is None else _decoded(meaning, value)
        except Invalid as error:
            return replace(self, _raw=raw, complaints=self.complaints.put(key, error.message))
        view = replace(self, _raw=raw, complaints=self.complaints.drop(key))
        match meaning:
            case NetworkKey(network):
                return view._with_network(network, found)
            case OverlayKey(network):
                return view._with_overlay(network, found)
            case EndpointKey(network, endpoint):
                return view._with_endpoint(network, endpoint, found)
            case NodeKey():
                nodes = view.nodes.drop(key) if found is None else view.nodes.put(key, _node(found))
                return replace(view, nodes=nodes)
            case _:
                return view

    def renewed(self, folder: str, pairs: Iterable[tuple[str, bytes]]) -> View:
        """The view when just that is below a folder; who was known before stays first."""
        now = {key.strip("/"): value for key, value in pairs}
        view = self
        for key in sorted(k for k in _known(self) if k.startswith(f"{folder}/")):
            view = view if key in now else view.after(key, None)
        for key in sorted(now, key=lambda key: (_rank(view.keys.meaning(key)), key)):
            view = view.after(key, now[key])
        return view

    @property
    def hosts(self) -> frozenset[IPAddress]:
        """The hosts that are alive, as the store says."""
        return frozenset(node.address for node in self.nodes.values())

    def endpoints(self, network: str) -> Table[str, Peer]:
        """The endpoints of a network that count, on whichever host, by id."""
        return self._peers.get(network, _NONE)

    def at(self, network: str, address: IPAddress) -> Peer | None:
        """The endpoint that has an address of a network."""
        claimants = self._claims.get((network, address), ())
        return self.endpoints(network).get(claimants[0][1]) if claimants else None

    def rivals(self, network: str, endpoint: str) -> frozenset[str]:
        """The other endpoints that claim an address or the MAC of an endpoint."""
        claims = _claimed(self._said.get(network, _NONE).get(endpoint))
        claimants = (member for claim in claims for member in self._claims[claim])
        return frozenset(member[1] for member in claimants if member != (network, endpoint))

    def vni(self, network: str, subnet: IPNetwork) -> int:
        """The VNI of a network's subnet; `NO_VNI` while it has none that it can use."""
        overlay = self.overlays.get(network)
        vni = NO_VNI if overlay is None else overlay.vni(subnet)
        return vni if self._vnis.get(vni, (network,))[0] == network else NO_VNI

    def _with_network(self, network: str, found: object) -> View:
        record = found if isinstance(found, NetworkRecord) else None
        if record == self.networks.get(network):
            networks = self.networks if record is None else self.networks.put(network, record)
            return replace(self, networks=networks)
        known = self.networks.get(network)
        if record is not None and known is not None and network in self._peers:
            if record.removing:
                # It goes as what it was: nobody is taken off it before it is gone.
                record = replace(record, network=known.network, pools=known.pools)
            elif _essence(record) != _essence(known):
                reason = "it is another network than it was, and endpoints are on it"
                complaints = self.complaints.put(self.keys.network(network), reason)
                return replace(self, complaints=complaints)
        networks = (
            self.networks.drop(network) if record is None else self.networks.put(network, record)
        )
        view = replace(self, networks=networks)
        for endpoint in view._said.get(network, _NONE):
            view = view._judged((network, endpoint))
        return view

    def _with_overlay(self, network: str, found: object) -> View:
        overlay = found if isinstance(found, Overlay) else None
        old, new = _vnis(self.overlays.get(network)), _vnis(overlay)
        vnis = self._vnis
        touched: set[str] = {network}
        for vni in old ^ new:
            holders = vnis.get(vni, ())
            touched.update(holders)
            if vni in new:
                vnis = vnis.put(vni, (*holders, network))
            else:
                left = tuple(each for each in holders if each != network)
                vnis = vnis.put(vni, left) if left else vnis.drop(vni)
        overlays = (
            self.overlays.drop(network) if overlay is None else self.overlays.put(network, overlay)
        )
        complaints = self.complaints
        for each in touched:
            if each in overlays:
                first = {vni: vnis[vni][0] for vni in _vnis(overlays[each])}
                others = [f"{vni} is {first[vni]}'s" for vni in sorted(first) if first[vni] != each]
                reason = f"its VNI {', '.join(others)}" if others else ""
                complaints = _complaining(complaints, self.keys.overlay(each), reason)
        return replace(self, overlays=overlays, complaints=complaints, _vnis=vnis)

    def _with_endpoint(self, network: str, endpoint: str, found: object) -> View:
        member = (network, endpoint)
        peer = found if isinstance(found, Peer) else None
        old = self._said.get(network, _NONE).get(endpoint)
        said = _placed(self._said, member, peer)
        claims = self._claims
        touched: set[Member] = {member}
        before, now = _claimed(old), _claimed(peer)
        for claim in before ^ now:
            claimants = claims.get(claim, ())
            # Who comes first changes something for all others; nobody else does.
            if claimants[:1] == (member,):
                touched.update(claimants)
            if claim in now:
                claims = claims.put(claim, (*claimants, member))
            else:
                left = tuple(each for each in claimants if each != member)
                claims = claims.put(claim, left) if left else claims.drop(claim)
        view = replace(self, _said=said, _claims=claims)
        for each in touched:
            view = view._judged(each)
        return view

    def _judged(self, member: Member) -> View:
        """With an endpoint among the peers if it counts, and a complaint if it does not."""
        network, endpoint = member
        peer = self._said.get(network, _NONE).get(endpoint)
        if peer is None:
            return replace(self, _peers=_placed(self._peers, member, None))
        reason = self._why_not(member, peer)
        return replace(
            self,
            _peers=_placed(self._peers, member, None if reason else peer),
            complaints=_complaining(
                self.complaints, self.keys.endpoint(network, endpoint), reason or ""
            ),
        )

    def _why_not(self, member: Member, peer: Peer) -> str | None:
        record = self.networks.get(member[0])
        if record is None:
            return "its network is not known"
        wrong = misplaced(peer, record.network)
        if wrong is not None:
            return wrong
        for claim in sorted(_claimed(peer), key=str):
            first = self._claims[claim][0]
            if first != member:
                return f"{claim[1]} is the endpoint's {first[1]}"
        return None


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


def _decoded(meaning: Meaning, value: bytes) -> object:
    match meaning:
        case NetworkKey(network):
            return decode_network(network, value)
        case EndpointKey(network, endpoint):
            return decode_endpoint(network, endpoint, value)
        case OverlayKey():
            return decode_overlay(value)
        case NodeKey(place):
            return decode_node(place, value)
        case CountKey():
            return number_of(decoded(value), "Count", MOST_COUNT)
        case PoolsKey(space) if space == SPACE:
            return decode_pools(value)
        case AddressesKey(space) if space == SPACE:
            return decode_sequence(value)
        case NumbersKey(kind) if kind == VXLAN_IDS:
            return decode_sequence(value)
        case _:
            return None


def _complaining(complaints: Table[str, str], key: str, reason: str) -> Table[str, str]:
    return complaints.put(key, reason) if reason else complaints.drop(key)


def _placed(
    table: Table[str, Table[str, Peer]], member: Member, peer: Peer | None
) -> Table[str, Table[str, Peer]]:
    network, endpoint = member
    inner = table.get(network, _NONE)
    inner = inner.drop(endpoint) if peer is None else inner.put(endpoint, peer)
    return table.put(network, inner) if inner else table.drop(network)


def _claimed(peer: Peer | None) -> set[Claim]:
    if peer is None:
        return set()
    addresses: set[Claim] = {(peer.network, address.ip) for address in peer.addresses}
    return addresses | ({(peer.network, peer.mac)} if peer.mac else set())


def _essence(record: NetworkRecord) -> object:
    """What of a network cannot change while somebody is on it."""
    net = record.network
    return net.name, net.driver, net.pools, net.internal, net.encrypted, net.routed


def _vnis(overlay: Overlay | None) -> set[int]:
    segments = () if overlay is None else overlay.segments
    return {segment.vni for segment in segments if segment.vni != NO_VNI}


def _node(found: object) -> Node:
    assert isinstance(found, Node)
    return found


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


def _rank(meaning: Meaning | None) -> int:
    match meaning:
        case NetworkKey():
            return 0
        case OverlayKey():
            return 1
        case _:
            return 2
