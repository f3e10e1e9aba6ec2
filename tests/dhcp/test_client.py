"""A client's states, driven by a clock of the test's."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dhcp import client as states
from fairlead.dhcp.client import Client, Identity, Phase, Sent
from fairlead.dhcp.frame import EVERYBODY
from fairlead.dhcp.message import (
    CLIENT_ID,
    COMPLAINT,
    HOST_NAME,
    LEASE_SECONDS,
    MASK,
    NAME_SERVERS,
    NOBODY,
    REBIND_SECONDS,
    RENEW_SECONDS,
    REQUESTED,
    ROUTER,
    SERVER,
    Kind,
    Malformed,
    Message,
)
from fairlead.model.lease import FOR_EVER, Lease

ME = IPv4Address("192.0.2.2")
RIVAL = IPv4Address("192.0.2.3")
FIRST, OTHER = IPv4Address("192.0.2.100"), IPv4Address("192.0.2.101")
MAC, SERVER_MAC = bytes.fromhex("0242c0000264"), bytes.fromhex("020000000002")
WHO = Identity(MAC, name="web")
HOUR = 3600


@dataclass
class Table:
    """A client and what it sent, at a time."""

    client: Client
    now: float = 0.0
    sent: Sent | None = None

    def wait(self) -> Sent | None:
        """Until it acts."""
        self.now = max(self.now, self.client.due)
        self.client, self.sent = states.act(self.client, self.now, lambda: 0.5)
        return self.sent

    def hear(
        self,
        kind: Kind,
        address: IPv4Address = NOBODY,
        server: IPv4Address = ME,
        seconds: int = HOUR,
        more: Mapping[int, bytes] | None = None,
    ) -> None:
        """A server's answer to what was sent last."""
        options = {
            SERVER: server.packed,
            MASK: IPv4Address("255.255.255.0").packed,
            ROUTER: IPv4Address("192.0.2.254").packed,
            LEASE_SECONDS: struct.pack("!I", seconds),
            **(more or {}),
        }
        message = Message(kind, self.client.xid, MAC, answers=True, yours=address, options=options)
        self.say(message)

    def say(self, message: Message) -> None:
        """Any message."""
        self.client, self.sent = states.hear(
            self.client, message, SERVER_MAC, self.now, lambda: 0.5
        )

    @property
    def lease(self) -> Lease:
        assert self.client.lease is not None
        return self.client.lease

    @property
    def message(self) -> Message:
        assert self.sent is not None
        return self.sent.message


def fresh(wish: IPv4Address | None = None, fixed: bool = False) -> Table:
    return Table(states.begun(WHO, 0.0, lambda: 0.25, wish, fixed))


@pytest.fixture
def bound() -> Table:
    """One with a lease of an hour, since the start."""
    table = fresh()
    table.wait()
    table.hear(Kind.OFFER, FIRST)
    table.hear(Kind.ACK, FIRST)
    return table


def test_an_address_is_found_and_asked_for() -> None:
    """DISCOVER to all; REQUEST names the server that was chosen; then there is a lease."""
    table = fresh(OTHER)
    sent = table.wait()
    assert sent is not None
    assert (sent.message.kind, sent.mac, str(sent.address)) == (
        Kind.DISCOVER,
        EVERYBODY,
        "255.255.255.255",
    )
    assert sent.message.broadcast
    assert sent.message.options[REQUESTED] == OTHER.packed
    assert sent.message.options[HOST_NAME] == b"web"
    assert CLIENT_ID not in sent.message.options
    table.hear(Kind.OFFER, FIRST)
    assert (table.message.kind, table.message.options[REQUESTED]) == (Kind.REQUEST, FIRST.packed)
    assert table.message.options[SERVER] == ME.packed
    table.hear(Kind.ACK, FIRST)
    assert table.client.phase is Phase.BOUND
    assert table.lease.address == IPv4Interface("192.0.2.100/24")
    assert table.lease.router == IPv4Address("192.0.2.254")
    assert (table.lease.renew_seconds, table.lease.rebind_seconds) == (1800, 3150)
    assert 1600 < table.client.due <= 1800


def test_it_asks_again_at_longer_intervals() -> None:
    """Doubled up to about a minute; the same question, so that servers know it again."""
    table = fresh()
    times, xids = [], set()
    for _ in range(9):
        table.wait()
        times.append(table.now)
        xids.add(table.message.xid)
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses == [2, 4, 8, 16, 32, 64, 64, 64]
    assert len(xids) == 1


def test_an_offer_that_is_not_granted() -> None:
    """Requests that nobody answers, or a no, lead back to the beginning."""
    table = fresh()
    table.wait()
    table.hear(Kind.OFFER, FIRST)
    for _ in range(3):
        assert table.wait()
        assert table.message.kind is Kind.REQUEST
    table.wait()
    assert table.message.kind is Kind.DISCOVER
    table.hear(Kind.OFFER, OTHER)
    table.hear(Kind.NAK, more={COMPLAINT: b"it is\n taken"})
    assert table.client.phase is Phase.SELECTING
    assert table.client.refusal == "it said no: it is taken"
    table.wait()
    assert table.message.kind is Kind.DISCOVER


def test_only_the_wish_will_do() -> None:
    """Another server may have what one does not; if none does there is no hope."""
    table = fresh(OTHER, fixed=True)
    table.wait()
    table.hear(Kind.OFFER, FIRST)
    assert table.sent is None
    again = replace(table)
    again.hear(Kind.OFFER, OTHER, RIVAL)
    again.hear(Kind.ACK, OTHER, RIVAL)
    assert again.lease.server == RIVAL
    assert table.wait() is None
    assert table.client.hopeless
    assert "192.0.2.2 offers 192.0.2.100 only" in table.client.refusal


def test_a_lease_is_renewed(bound: Table) -> None:
    """By the server that gave it, at the address that the client has."""
    before = bound.client.xid
    sent = bound.wait()
    assert sent is not None
    assert (sent.mac, sent.address) == (SERVER_MAC, ME)
    assert bound.message.client == FIRST
    assert not bound.message.broadcast
    assert not bound.message.options.keys() & {REQUESTED, SERVER}
    assert bound.client.xid != before
    with pytest.raises(Malformed):
        bound.hear(Kind.ACK, FIRST, RIVAL)
    with pytest.raises(Malformed):
        bound.hear(Kind.ACK, OTHER)
    bound.hear(Kind.ACK, FIRST)
    assert bound.client.phase is Phase.BOUND
    assert bound.lease.begun == bound.now


def test_when_the_server_is_away_any_will_do(bound: Table) -> None:
    """T1: the server, less and less often; T2: everybody; the end: from the beginning."""
    asked: dict[Phase, list[float]] = {}
    while bound.now < HOUR:
        bound.wait()
        asked.setdefault(bound.client.phase, []).append(bound.now)
    renewing, rebinding = asked[Phase.RENEWING], asked[Phase.REBINDING]
    assert max(renewing) < 3150 <= min(rebinding) < max(rebinding) < HOUR
    assert all(b - a >= 59 for a, b in pairwise(renewing))
    assert 3 < len(renewing) < 10
    # Nobody takes away what it has; it asks for that first of all.
    assert bound.client.phase is Phase.SELECTING
    assert bound.message.options[REQUESTED] == FIRST.packed
    assert bound.lease.over(bound.now)
    bound.hear(Kind.OFFER, OTHER, RIVAL)
    bound.hear(Kind.ACK, OTHER, RIVAL)
    assert bound.lease.address.ip == OTHER


def test_everybody_may_renew_it(bound: Table) -> None:
    """A server that took over from the first."""
    while bound.client.phase is not Phase.REBINDING:
        bound.wait()
    assert bound.sent is not None
    assert bound.sent.mac == EVERYBODY
    bound.hear(Kind.ACK, FIRST, RIVAL)
    assert bound.lease.server == RIVAL


def test_a_server_that_says_no(bound: Table) -> None:
    """From the beginning, with what it had as its wish. A stranger's no is not heard."""
    bound.wait()
    with pytest.raises(Malformed):
        bound.hear(Kind.NAK, server=RIVAL)
    bound.hear(Kind.NAK)
    bound.wait()
    assert bound.message.kind is Kind.DISCOVER
    assert bound.message.client == NOBODY


def test_a_lease_for_ever() -> None:
    """Is never asked for again."""
    table = fresh()
    table.wait()
    table.hear(Kind.OFFER, FIRST)
    table.hear(Kind.ACK, FIRST, seconds=FOR_EVER)
    assert table.client.due == float("inf")
    assert not table.lease.over(1e12)


def test_a_lease_is_taken_up_again(bound: Table) -> None:
    """After a restart: where it was, or late."""
    lease = bound.lease
    table = Table(states.resumed(lease, lambda: 0.5), now=2000.0)
    table.wait()
    assert (table.client.phase, table.message.options[HOST_NAME]) == (Phase.RENEWING, b"web")
    late = Table(states.resumed(lease, lambda: 0.5), now=4000.0)
    late.wait()
    assert late.message.kind is Kind.DISCOVER


def test_giving_back(bound: Table) -> None:
    """To who gave it; and what was asked for and not awaited."""
    sent = states.released(bound.lease, lambda: 0.5)
    assert (sent.mac, sent.address, sent.message.kind) == (SERVER_MAC, ME, Kind.RELEASE)
    assert (sent.message.client, sent.message.mac) == (FIRST, MAC)
    assert states.forgone(bound.client, lambda: 0.5) is None
    table = fresh()
    table.wait()
    assert states.forgone(table.client, lambda: 0.5) is None
    table.hear(Kind.OFFER, FIRST)
    forgone = states.forgone(table.client, lambda: 0.5)
    assert forgone is not None
    assert (forgone.message.client, forgone.address) == (FIRST, ME)


@pytest.mark.parametrize(
    "change",
    [
        {"address": IPv4Address("0.0.0.0")},
        {"address": IPv4Address("127.0.0.1")},
        {"address": IPv4Address("224.0.0.9")},
        {"address": IPv4Address("255.255.255.255")},
        {"address": IPv4Address("192.0.2.255")},
        {"address": IPv4Address("192.0.2.0")},
        {"server": IPv4Address("0.0.0.0")},
        {"seconds": 1},
        {"more": {MASK: bytes((255, 0, 255, 0))}},
        {"more": {MASK: bytes(4)}},
        {"more": {MASK: b"\xff"}},
        {"more": {LEASE_SECONDS: b""}},
        {"more": {SERVER: b""}},
        {"more": {ROUTER: b"\xc0\x00\x02"}},
    ],
)
def test_what_cannot_be_is_not_taken(change: dict[str, object]) -> None:
    """An address that no host has, no server, no time, no mask."""
    table = fresh()
    table.wait()
    given = {"address": FIRST, "server": ME, **change}
    table.client = replace(
        table.client,
        phase=Phase.REQUESTING,
        offer=given["address"],  # type: ignore[arg-type]
        server=given["server"],  # type: ignore[arg-type]
    )
    with pytest.raises(Malformed):
        table.hear(Kind.ACK, **given)  # type: ignore[arg-type]


def test_what_is_doubtful_is_left_out() -> None:
    """Routers of elsewhere, servers that nobody is, times in the wrong order."""
    table = fresh()
    table.wait()
    table.hear(Kind.OFFER, FIRST)
    table.hear(
        Kind.ACK,
        FIRST,
        more={
            ROUTER: IPv4Address("10.0.0.1").packed + FIRST.packed + OTHER.packed,
            NAME_SERVERS: IPv4Address("127.0.0.53").packed + ME.packed,
            RENEW_SECONDS: struct.pack("!I", 9000),
            REBIND_SECONDS: struct.pack("!I", 0),
        },
    )
    assert (table.lease.router, table.lease.servers) == (OTHER, (ME,))
    assert (table.lease.renew_seconds, table.lease.rebind_seconds) == (1800, 3150)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Kind),
            st.sampled_from((FIRST, OTHER, NOBODY)),
            st.sampled_from((ME, RIVAL)),
            st.integers(4, 9000),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_any_history(history: list[tuple[Kind, IPv4Address, IPv4Address, int, bool]]) -> None:
    """It always knows when to act next, asks no oftener than it may, and never without a reason."""
    table = fresh()
    for kind, address, server, seconds, waits in history:
        before = table.now
        if waits:
            table.wait()
            assert table.client.due > before or table.client.hopeless
        try:
            table.hear(kind, address, server, seconds=seconds)
        except Malformed:
            continue
        if table.client.phase is Phase.BOUND:
            assert table.lease.address.ip == address
            assert table.client.due > table.now
