"""A DHCP client's states (RFC 2131, 4.4) as values: what it sends when, what answers change.

::

    SELECTING ──OFFER──► REQUESTING ──ACK──► BOUND ──T1──► RENEWING ──T2──► REBINDING
      ▲  DISCOVER          REQUEST             ▲            REQUEST           REQUEST
      │                       │                │            to the server     to everybody
      │                       │                └──────ACK──────┴─────────────────┤
      └────────NAK────────────┴──────────────NAK, or the lease has run out───────┘

Rule: no clock, no socket, no dice in here. `act` is called when `due` has come, `hear` with
each message; both give the client as it is then, and what is to be sent. Whoever is no
server of ours, or answers somebody else, is not heard.

A client that lost its lease still knows it: what it had is used until something else is
given, because a container that can be reached at a doubtful address is better off than one
that cannot be reached at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address

from fairlead.dhcp import terms
from fairlead.dhcp.frame import EVERYBODY
from fairlead.dhcp.message import (
    CLIENT_ID,
    COMPLAINT,
    HOST_NAME,
    MASK,
    NAME_SERVERS,
    NOBODY,
    REBIND_SECONDS,
    RENEW_SECONDS,
    REQUESTED,
    ROUTER,
    SERVER,
    WANTED,
    Kind,
    Malformed,
    Message,
)
from fairlead.model.lease import Lease

ASKED_FOR = bytes((MASK, ROUTER, NAME_SERVERS, RENEW_SECONDS, REBIND_SECONDS))
FIRST_SECONDS, LONGEST_SECONDS = 2.0, 64.0
"""Between questions to everybody, doubled each time. RFC 2131 would begin with 4, for networks
of its day; here somebody waits for a container to start."""
REQUESTS = 4
"""Unanswered requests for an offered address before all begins anew."""
RENEWING_SECONDS = 60.0
"""Between questions for a renewal at least, if the lease lasts that long (4.4.5)."""
HASTE_SECONDS = 1.0

ALL = IPv4Address("255.255.255.255")

Dice = Callable[[], float]
"""A number from 0 to 1, which nobody can guess: a message's xid is made of it."""


class Phase(Enum):
    """Where a client stands."""

    SELECTING = "selecting"
    REQUESTING = "requesting"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: `id` where that is more than the MAC, `name` for the server's lists."""

    mac: bytes
    id: bytes = b""
    name: str = ""

    @classmethod
    def of(cls, lease: Lease) -> Identity:
        """Who was given a lease."""
        return cls(_raw(lease.mac), bytes.fromhex(lease.client_id), lease.name)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message and where it goes: to everybody, or to the MAC and address of one server."""

    message: Message
    mac: bytes = EVERYBODY
    address: IPv4Address = ALL


@dataclass(frozen=True, slots=True)
class Client:
    """A client. `due` is when it has to act next, in seconds of the caller's clock."""

    identity: Identity
    phase: Phase
    due: float
    xid: int = 0
    began: float = 0.0
    tries: int = 0
    wish: IPv4Address | None = None
    fixed: bool = False
    """Nothing but the wish will do."""
    offer: IPv4Address | None = None
    server: IPv4Address | None = None
    """Whose the offer is."""
    server_mac: bytes = b""
    lease: Lease | None = None
    """What it has, or had."""
    refusal: str = ""
    """Why it has nothing yet, if a server said anything."""
    hopeless: bool = False
    """Servers have answered, and none gives what alone will do."""


Turn = tuple[Client, Sent | None]


def begun(
    identity: Identity, now: float, dice: Dice, wish: IPv4Address | None = None, fixed: bool = False
) -> Client:
    """One that has nothing yet."""
    return Client(identity, Phase.SELECTING, now, _drawn(dice), began=now, wish=wish, fixed=fixed)


def resumed(lease: Lease, dice: Dice) -> Client:
    """One that had a lease when somebody last knew of it."""
    who, wish = Identity.of(lease), lease.address.ip
    return Client(who, Phase.BOUND, _renewal(lease, dice), wish=wish, lease=lease)


def act(client: Client, now: float, dice: Dice) -> Turn:
    """What is to be done now that `due` has come."""
    match client.phase:
        case Phase.SELECTING:
            if client.tries and client.fixed and client.refusal:
                return replace(client, hopeless=True), None
            return _again(client, now, dice), Sent(_discover(client, now))
        case Phase.REQUESTING:
            if client.tries >= REQUESTS:
                return act(_anew(client, now, dice), now, dice)
            return _again(client, now, dice), Sent(_request(client, now))
        case _:
            return _extend(client, now, dice)


def hear(client: Client, message: Message, mac: bytes, now: float, dice: Dice) -> Turn:
    """What a message changes, which came from `mac`. Raises Malformed for what is no answer."""
    if not message.answers or message.mac != client.identity.mac or message.xid != client.xid:
        raise Malformed("an answer to somebody else")
    match client.phase, message.kind:
        case Phase.SELECTING, Kind.OFFER if client.tries:
            return _offered(client, message, mac, now, dice)
        case Phase.REQUESTING, Kind.ACK if message.yours == client.offer:
            return _granted(client, message, mac, now, dice)
        case ((Phase.RENEWING | Phase.REBINDING), Kind.ACK) if _keeps(client, message):
            return _granted(client, message, mac, now, dice)
        case ((Phase.REQUESTING | Phase.RENEWING | Phase.REBINDING), Kind.NAK):
            _check_server(client, message)
            said = message.options.get(COMPLAINT, b"").decode("ascii", "replace")
            said = "".join(c for c in said if c.isprintable())[:80]
            anew = _anew(client, now, dice)
            return replace(anew, refusal=f"it said no{': ' if said else ''}{said}"), None
    raise Malformed(f"{message.kind.name} while {client.phase.value}")


def released(lease: Lease, dice: Dice) -> Sent:
    """What tells the server that a lease is over."""
    server = (_raw(lease.server_mac), lease.server)
    return _release(Identity.of(lease), lease.address.ip, server, dice)


def forgone(client: Client, dice: Dice) -> Sent | None:
    """What gives back that which may have been granted and is no longer waited for."""
    if client.phase is not Phase.REQUESTING or client.offer is None or client.server is None:
        return None
    return _release(client.identity, client.offer, (client.server_mac, client.server), dice)


def _release(
    identity: Identity, address: IPv4Address, server: tuple[bytes, IPv4Address], dice: Dice
) -> Sent:
    options = {SERVER: server[1].packed, **_who(replace(identity, name=""))}
    said = Message(Kind.RELEASE, _drawn(dice), identity.mac, client=address, options=options)
    return Sent(said, *server)


def _raw(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _drawn(dice: Dice) -> int:
    return int(dice() * 0xFFFFFFFF)


def _around(seconds: float, dice: Dice) -> float:
    """A time near to that one: many who began together do not go on together."""
    return seconds * (0.875 + dice() / 4)


def _again(client: Client, now: float, dice: Dice) -> Client:
    pause = min(FIRST_SECONDS * 2**client.tries, LONGEST_SECONDS)
    return replace(client, tries=client.tries + 1, due=now + _around(pause, dice))


def _anew(client: Client, now: float, dice: Dice) -> Client:
    """From the beginning, soon."""
    return replace(
        client,
        phase=Phase.SELECTING,
        due=now + _around(HASTE_SECONDS, dice),
        xid=_drawn(dice),
        began=now,
        tries=0,
        offer=None,
        server=None,
    )


def _offered(client: Client, message: Message, mac: bytes, now: float, dice: Dice) -> Turn:
    address, server = terms.offered(message), terms.server(message)
    if client.fixed and address != client.wish:
        # Another server may have it; whoever asks again soon is told.
        return replace(client, refusal=f"{server} offers {address} only"), None
    client = replace(
        client,
        phase=Phase.REQUESTING,
        tries=0,
        offer=address,
        server=server,
        server_mac=mac,
    )
    return act(client, now, dice)


def _granted(client: Client, message: Message, mac: bytes, now: float, dice: Dice) -> Turn:
    _check_server(client, message)
    who = client.identity
    lease = replace(
        terms.granted(message, mac, now, client.lease),
        mac=who.mac.hex(":"),
        client_id=who.id.hex(),
        name=who.name,
    )
    bound = replace(
        client,
        phase=Phase.BOUND,
        due=_renewal(lease, dice),
        lease=lease,
        wish=lease.address.ip,
        # What was asked for once is given now, or was lost later: anything is better then.
        fixed=False,
        offer=None,
        server=None,
        tries=0,
        refusal="",
    )
    return bound, None


def _keeps(client: Client, message: Message) -> bool:
    return client.lease is not None and message.yours == client.lease.address.ip


def _check_server(client: Client, message: Message) -> None:
    """Whether that server was asked; when all were, any was. Raises Malformed."""
    asked = client.server
    if client.phase is Phase.RENEWING and client.lease is not None:
        asked = client.lease.server
    if client.phase is not Phase.REBINDING and terms.server(message) != asked:
        raise Malformed("a server that was not asked")


def _renewal(lease: Lease, dice: Dice) -> float:
    if lease.endless:
        return float("inf")
    # Never later than told.
    return lease.begun + lease.renew_seconds * (1 - dice() / 16)


def _extend(client: Client, now: float, dice: Dice) -> Turn:
    """Ask for a renewal: the server, then everybody; then begin anew."""
    lease = client.lease
    assert lease is not None
    rebind, end = lease.begun + lease.rebind_seconds, lease.begun + lease.seconds
    if now >= end:
        return act(_anew(client, now, dice), now, dice)
    phase = Phase.REBINDING if now >= rebind else Phase.RENEWING
    if phase is not client.phase:
        # Answers to what was asked before are no answers to this.
        xid = _drawn(dice)
        client = replace(client, phase=phase, xid=xid, began=now, tries=0)
    left = (end if phase is Phase.REBINDING else rebind) - now
    pause = max(min(left, RENEWING_SECONDS), left / 2) if left > 2 * HASTE_SECONDS else left
    client = replace(client, tries=client.tries + 1, due=now + pause)
    message = _message(client, Kind.REQUEST, now, {}, lease.address.ip)
    if phase is Phase.REBINDING:
        return client, Sent(message)
    return client, Sent(message, _raw(lease.server_mac), lease.server)


def _discover(client: Client, now: float) -> Message:
    wish = {REQUESTED: client.wish.packed} if client.wish is not None else {}
    return _message(client, Kind.DISCOVER, now, wish)


def _request(client: Client, now: float) -> Message:
    assert client.offer is not None
    assert client.server is not None
    chosen = {REQUESTED: client.offer.packed, SERVER: client.server.packed}
    return _message(client, Kind.REQUEST, now, chosen)


def _message(
    client: Client,
    kind: Kind,
    now: float,
    options: dict[int, bytes],
    address: IPv4Address = NOBODY,
) -> Message:
    return Message(
        kind,
        client.xid,
        client.identity.mac,
        secs=min(int(max(0.0, now - client.began)), 0xFFFF),
        # Who has no interface yet hears nothing that is for it alone.
        broadcast=address == NOBODY,
        client=address,
        options={**options, **_who(client.identity), WANTED: ASKED_FOR},
    )


def _who(identity: Identity) -> dict[int, bytes]:
    found = {CLIENT_ID: identity.id} if identity.id else {}
    if identity.name:
        found[HOST_NAME] = identity.name.encode("ascii")
    return found
