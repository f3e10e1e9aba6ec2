"""Sealing: two hosts derive the same SAs, no two senders the same key, and turns lose nothing."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.cluster import keyring, sealing
from fairlead.model.keyring import Keyring
from fairlead.model.state import IPAddress, Resource, state
from fairlead.model.xfrm import XfrmPolicy, XfrmState
from fairlead.plan.diff import diff

HOSTS = [ip_address(f"192.0.2.{n}") for n in range(1, 5)] + [ip_address("2001:db8::1")]
A, B, *_ = HOSTS


def ring_of(hosts: Iterable[IPAddress] = HOSTS, turns: int = 0) -> Keyring:
    """A keyring with hosts, turned so often."""
    found = keyring.first(0, (b"a" * 32, b"b" * 32, b"c" * 32))
    for number, host in enumerate(hosts):
        found = keyring.joined(found, host, number.to_bytes(16))
    for number in range(turns):
        found = keyring.turned(found, number, number.to_bytes(32))
    return found


def states(found: Iterable[Resource]) -> set[XfrmState]:
    return {item for item in found if isinstance(item, XfrmState)}


def policy(found: Iterable[Resource]) -> XfrmPolicy:
    (item,) = (item for item in found if isinstance(item, XfrmPolicy))
    return item


@given(st.integers(min_value=0, max_value=600))
def test_what_one_sends_by_the_other_takes(turns: int) -> None:
    """Also when one of them has not heard of the last turn, or not yet."""
    now, before = ring_of(turns=turns + 1), ring_of(turns=turns)
    for mine, theirs in ((now, now), (now, before), (before, now)):
        sending = policy(sealing.between(mine, A, B))
        sent = [
            item
            for item in states(sealing.between(mine, A, B))
            if (item.source, item.spi) == (A, sending.spi)
        ]
        assert len(sent) == 1
        assert sent[0] in states(sealing.between(theirs, B, A))


def test_no_key_is_anybody_elses() -> None:
    """Of all SAs that ever are, in both directions, over turns and births."""
    found: set[XfrmState] = set()
    for turns in range(5):
        ring = ring_of(turns=turns)
        for ring_ in (ring, keyring.joined(ring, A, b"again" + bytes(11))):
            for here, there in permutations(HOSTS, 2):
                found |= states(sealing.between(ring_, here, there))
    assert len({item.secret for item in found}) == len(found)
    assert len({item.secret[:16] for item in found}) == len(found)


@given(st.integers(min_value=0, max_value=600))
def test_no_spi_is_anybody_elses_at_a_receiver(turns: int) -> None:
    """Nor one of those that are reserved."""
    ring = ring_of(turns=turns)
    everything = [r for there in HOSTS[1:4] for r in sealing.between(ring, A, there)]
    assert len(state(everything)) == len(everything)
    assert all(item.spi > 255 for item in states(everything))


def test_a_turn_makes_before_it_breaks() -> None:
    """What is removed was sent by a whole turn ago; the policy changes after its SA is there."""
    steps = diff(
        state(list(sealing.between(ring_of(turns=1), A, B))),
        state(list(sealing.between(ring_of(), A, B))),
    )
    now = policy(sealing.between(ring_of(), A, B)).spi
    there = states(sealing.between(ring_of(), A, B))
    for step in steps:
        if isinstance(step.after, XfrmState):
            there.add(step.after)
        elif isinstance(step.before, XfrmState):
            there.remove(step.before)
        elif isinstance(step.after, XfrmPolicy):
            assert step.before is not None, "it is changed in place"
            now = step.after.spi
        assert any((item.source, item.spi) == (A, now) for item in there), step
    assert steps == tuple(sorted(steps, key=lambda step: step.after is not None))


def test_a_host_that_is_not_in_the_keyring_gets_nothing() -> None:
    """So what is marked for it is dropped; the same over another family of addresses."""
    assert list(sealing.between(ring_of([A]), A, B)) == []
    assert list(sealing.between(ring_of([B]), A, B)) == []
    assert list(sealing.between(ring_of(), A, HOSTS[-1])) == []
    unread = keyring.decode(keyring.encode(keyring.first_of_file(0, b"k" * 32)))
    unread = keyring.joined(keyring.joined(unread, A, bytes(16)), B, bytes(16))
    assert list(sealing.between(unread, A, B)) == []


def test_a_host_that_lost_what_it_sent_by_is_told_so() -> None:
    """By a missing SA of its own; one of another host's is no matter."""
    want = state(list(sealing.between(ring_of(), A, B)))
    assert not sealing.lost(want, want, A)
    without = {key: item for key, item in want.items() if getattr(item, "source", None) != B}
    assert not sealing.lost(want, without, A)
    assert sealing.lost(want, {}, A)


def test_a_birth_replaces_what_has_the_same_number() -> None:
    """The SAs keep their SPIs, and are made anew."""
    ring = ring_of()
    again = keyring.joined(ring, A, b"again" + bytes(11))
    have = state(list(sealing.between(ring, B, A)))
    steps = diff(state(list(sealing.between(again, B, A))), have)
    assert {type(step.resource) for step in steps} == {XfrmState}
    assert {step.verb for step in steps} == {"remove", "add"}
    assert len(steps) == 2 * len(states(have.values()))
