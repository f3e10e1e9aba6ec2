"""How it ends for whoever sends, in one line, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fairlead.model.endpoint import Port
from fairlead.model.network import Network
from fairlead.model.packet import Flow, Listener, Way, joined
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import World
from fairlead.plan.trace.ends import End, covers, holder, published
from fairlead.plan.trace.rulebook import Author, Rulebook
from fairlead.plan.trace.story import Ending, Fate

LOOK_AT_SERVER = "start the server there, or look at its log"
LOOK_THERE = "look there; this host is not what closes it"
TRACE_THERE = "trace it there; this host is not what closes it"
LET_IT_LISTEN = "let the server listen on all addresses (0.0.0.0 or ::)"


class Answer(StrEnum):
    """The last word."""

    OPEN = "open"
    CLOSED = "closed"
    LEAVES = "leaves"
    """It leaves this host, as it should: what becomes of it elsewhere is not known here."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last word, why, and what to do."""

    answer: Answer
    why: str
    todo: str = ""

    def lines(self) -> Iterator[str]:
        """As people read it."""
        yield f"{self.answer}: {self.why}"
        if self.todo:
            yield f"    do: {self.todo}"


def outcome(
    world: World,
    rules: Rulebook,
    found: Ending,
    flow: Flow,
    reached: End | None,
    listeners: Iterable[Listener],
    way: Way,
) -> Outcome:
    """What is to be said of a packet that ended so; `way` is where routes lead it."""
    at = found.at
    match found.fate:
        case Fate.DROPPED if at is not None:
            what = f"`{at.rule}`" if at.rule else "the chain's policy"
            if rules.author(at) is Author.OURS:
                return Outcome(Answer.CLOSED, rules.reason(at), rules.todo(at))
            whose = "yours" if rules.author(at) is Author.YOURS else "not fairlead's"
            why = f"{what} in {at.where} drops it, which is {whose}"
            return Outcome(Answer.CLOSED, why, rules.todo(at))
        case Fate.TAKEN if at is not None:
            why = f"`{at.rule}` in {at.where} hands it to a program, which decides"
            return Outcome(Answer.UNKNOWN, why, "ask that program")
        case Fate.LOST | Fate.UNSEEN:
            return _lost(found, way)
    if reached is None:
        mine = (n for n in world.networks.values() if n.ifname and not n.adopted)
        if net := next((n for n in mine if n.ifname == found.link), None):
            return nobody(flow.destination, net)
        there = _afar(world, flow.destination)
        to = f" to {_called(there)}" if there is not None else ""
        why = f"it leaves this host by {found.link}{to}, and no rule here is in its way"
        return Outcome(Answer.LEAVES, why, TRACE_THERE if to else LOOK_THERE)
    return heard(world, flow, reached, listeners)


def nobody(address: IPAddress, net: Network) -> Outcome:
    """What is to be said of a packet for an address that nobody has."""
    why = f"nobody has {address} on network {net.name}"
    return Outcome(Answer.CLOSED, why, f"`fairlead network inspect {net.name}` shows who has which")


def reached_by(world: World, found: Ending, flow: Flow) -> End | None:
    """Who has the address that a packet came to, if it is there by the link that it left by."""
    if found.fate is Fate.DELIVERED:
        return End(host=True)
    there = holder(world, flow.destination) if found.fate is Fate.LEFT else None
    if there is None:
        return None
    # By the bridge, a port of it (of a copy any), or the host's own link to that network.
    ends = world.on_network(there.network)
    own = (e.inside if world.sandboxes[e.sandbox].access else e.ifname for e in ends)
    links = (world.networks[there.network].ifname, *own)
    return End(world.sandboxes[there.sandbox], flow.destination) if found.link in links else None


def leaves(world: World, found: Ending, flow: Flow, reached: End | None) -> Iterator[str]:
    """By which link, or for whom, a packet left the host's rules."""
    if found.fate is not Fate.LEFT:
        return
    there = holder(world, flow.destination) if reached is not None else None
    if reached is None or there is None:
        yield f"  leaves  by {found.link}"
    else:
        yield f"  leaves  for {reached.name} on network {world.networks[there.network].name}"


def _lost(found: Ending, way: Way) -> Outcome:
    if way.refusal:
        why = f"the kernel itself drops it: {way.refusal}"
        return Outcome(Answer.CLOSED, why, "`ip route get` and `fairlead doctor` say more")
    if found.fate is Fate.UNSEEN:
        why = "it never came to the rules: a filter on the interface takes it, or it is down"
        return Outcome(Answer.CLOSED, why, "see `ip link` and `tc filter show dev … ingress`")
    where = f" after {found.at.where}" if found.at is not None else ""
    why = f"the kernel itself drops it{where}, and not by a rule"
    return Outcome(Answer.CLOSED, why, "`fairlead doctor` says what is wrong with this host")


def heard(world: World, flow: Flow, reached: End, listeners: Iterable[Listener]) -> Outcome:
    """Whether somebody listens where it came to."""
    mine = sorted({each.address for each in listeners if each.port == flow.port}, key=str)
    what = f"{flow.port}/{flow.protocol}"
    if any(Listener(address, flow.port).hears(flow.destination) for address in mine):
        return Outcome(Answer.OPEN, f"{reached.name} listens on {what}")
    if mine and not any(published(world, flow.protocol, flow.port) if reached.host else ()):
        where = ", ".join(joined(address, flow.port) for address in mine)
        why = f"{reached.name} listens on {what} at {where} only"
        return Outcome(Answer.CLOSED, why, LET_IT_LISTEN)
    why = f"nobody listens on {what} in {reached.name}"
    if reached.box is not None:
        return Outcome(Answer.CLOSED, why, LOOK_AT_SERVER)
    return _unpublished(world, flow, why.replace(" in this host", " of this host"))


def _unpublished(world: World, flow: Flow, why: str) -> Outcome:
    there = list(published(world, flow.protocol, flow.port))
    if there:
        where = ", ".join(sorted(joined(port.host_ip, port.host_port) for _, port in there))
        why += f", and {there[0][0].name} publishes it at {where} only"
        return Outcome(Answer.CLOSED, why, "ask there, or publish it at all addresses")
    other = "udp" if flow.protocol == "tcp" else "tcp"
    if any(published(world, other, flow.port)):
        why += f", and what is published is {flow.port}/{other}"
        return Outcome(Answer.CLOSED, why, f"publish it with -p {flow.port}:…/{flow.protocol}")
    return Outcome(
        Answer.CLOSED,
        f"{why}, and no container publishes it",
        f"publish it, `-p {flow.port}:80` or `fairlead port add CONTAINER {flow.port}:80`",
    )


def beyond(world: World, flow: Flow, past: str) -> Outcome:
    """What is to be said of a packet that no rule of this host sees, for somebody not here."""
    there = _afar(world, flow.destination)
    if there is None:
        why = f"it goes by {past}, where nobody that fairlead knows has {flow.destination}"
        return Outcome(Answer.LEAVES, why, "look where that address is")
    return Outcome(Answer.LEAVES, f"it goes by {past} to {_called(there)}", TRACE_THERE)


def _afar(world: World, address: IPAddress) -> Peer | None:
    """Who has an address on another host."""
    peers = world.peers.values()
    return next((p for p in peers if any(a.ip == address for a in p.addresses)), None)


def _called(peer: Peer) -> str:
    return f"{peer.name or peer.id[:12]} on host {peer.host}"


def expected(
    world: World, flow: Flow, local: bool, listed: Sequence[tuple[Sandbox, Port]]
) -> Iterator[str]:
    """What the ports that are published say of it."""
    if not local:
        return
    for box, port in listed:
        if covers(port, flow.destination):
            way = world.gateway(box.id, flow.destination.version) or world.gateway(box.id)
            net = world.networks[way.network].name if way is not None else "no network"
            yield (
                f"  port    {port.host_port}/{port.protocol} of this host leads to port "
                f"{port.container_port} of {box.name} on network {net}"
            )
