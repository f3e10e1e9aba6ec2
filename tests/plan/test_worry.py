"""Which hints are worth a look, and for how long a fight is fought."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.model.endpoint import Endpoint
from fairlead.model.facts import Hint, LinkFact
from fairlead.model.network import Network, Pool, span
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World
from fairlead.plan.patience import LONGEST_REST_SECONDS, MOST, Patience
from fairlead.plan.worry import EVERYTHING, Worry, cut_off, worry

POOL = Pool(ip_network("10.5.0.0/24"), ip_address("10.5.0.1"))
NET = Network("n" * 64, "red", "bridge", 1, (POOL,))
BOX = Sandbox("b" * 64, "c" * 64, "web", "web")
END = Endpoint("e", NET.id, BOX.id, "veth1", "eth0", "", ())
WORLD = World().after(Change(put=(NET, BOX, END)))
NOTHING, THE_HOST = Worry(), Worry(host=True)
THE_BOX = Worry(host=True, boxes=frozenset({BOX.id}))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Hint("link", NET.ifname, lost=True, loose=True), THE_HOST),
        (Hint("link", NET.ifname, lost=False, loose=True), NOTHING),
        (Hint("link", "veth1", lost=True), THE_BOX),
        (Hint("link", "veth1", lost=False, loose=True), THE_BOX),
        (Hint("link", "veth1", lost=False), NOTHING),
        (Hint("link", "eth7", lost=True), NOTHING),
        (Hint("address", "10.5.0.1"), THE_HOST),
        (Hint("address", "10.5.0.2"), NOTHING),
        (Hint("route", "10.5.0.0/24"), THE_HOST),
        (Hint("route", "10.6.0.0/24"), NOTHING),
        (Hint("route", "10.5.0.128/25", lost=False, link="tun0"), Worry(routes=True)),
        (Hint("route", "10.5.0.0/24", lost=False, link=NET.ifname), NOTHING),
        (Hint("route", "0.0.0.0/0", lost=False, link="eth0"), NOTHING),
        (Hint("route", "fd00::/8", lost=False, link="tun0"), NOTHING),
        (Hint("setting", "2"), THE_HOST),
        (Hint("rules", "nft"), Worry(rules=True, author="nft")),
        (Hint("all"), EVERYTHING),
    ],
)
def test_a_hint(hint: Hint, expected: Worry) -> None:
    assert worry(WORLD, [hint]) == expected
    assert bool(expected) == (expected != NOTHING)


SPANNING = Network("5" * 64, "ov", "overlay", 1, (POOL,), vnis=(256,))
INSIDE = Endpoint("f", SPANNING.id, BOX.id, "veth2", "eth1", "", ())
PEER = Peer("p", SPANNING.id, ip_address("192.0.2.3"), "02:42:00:00:00:09",
            (ip_interface("10.5.0.9/24"),))  # fmt: skip
SPACE = span(SPANNING.id)
CLUSTER = World().after(Change(put=(SPANNING, BOX, INSIDE, PEER)))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Hint("link", "br0", lost=True, loose=True, space=SPACE), THE_HOST),
        (Hint("link", "br0", lost=False, loose=True, space=SPACE), NOTHING),
        (Hint("link", "vxlan0", lost=True, loose=True, space=SPACE), THE_HOST),
        (Hint("link", "vxlan0", lost=False, loose=True, space=SPACE), THE_HOST),
        (Hint("link", "vxlan0", lost=False, space=SPACE), NOTHING),
        (Hint("link", "veth2", lost=True, space=SPACE), THE_BOX),
        (Hint("link", "veth2", lost=False, space=SPACE), NOTHING),
        (Hint("address", "10.5.0.1", space=SPACE), THE_HOST),
        (Hint("address", "10.5.0.2", space=SPACE), NOTHING),
        (Hint("neighbour", "10.5.0.9", space=SPACE), THE_HOST),
        (Hint("neighbour", PEER.mac, space=SPACE), THE_HOST),
        (Hint("neighbour", "10.5.0.8", space=SPACE), NOTHING),
        (Hint("link", "br0", lost=True, space="1-0123456789"), NOTHING),
        (Hint("all", space=SPACE), replace(EVERYTHING, boxes=frozenset({BOX.id}))),
    ],
)
def test_a_hint_of_a_network_that_spans_hosts(hint: Hint, expected: Worry) -> None:
    """It is about what has the same name in all of them, so about that network alone."""
    assert worry(CLUSTER, [hint]) == expected
    assert worry(WORLD, [hint]) == (EVERYTHING if hint.kind == "all" else NOTHING)


def test_of_a_link_the_last_word_counts() -> None:
    """A cable that is made is down and plugged in nowhere at first."""
    down, up = Hint("link", "veth1", lost=True, loose=True), Hint("link", "veth1", lost=False)
    assert worry(WORLD, [down, up]) == NOTHING
    assert worry(WORLD, [up, down]) == THE_BOX


@pytest.mark.parametrize(
    ("link", "cut"),
    [
        (LinkFact("veth1", True, NET.ifname, 1500), False),
        (LinkFact("veth1", False, NET.ifname, 1500), True),
        (LinkFact("veth1", True, "", 1500), True),
        (LinkFact("other", True, NET.ifname, 1500), True),
    ],
)
def test_who_is_cut_off(link: LinkFact, cut: bool) -> None:
    assert cut_off(WORLD, {link.name: link}) == ({BOX.id} if cut else set())


def test_patience_ends_and_rests_grow() -> None:
    patience = Patience()
    rests = [patience.acted("rules", now) for now in range(MOST)]
    assert rests[:-1] == [0.0] * (MOST - 1)
    assert rests[-1] > 0
    now, last = float(MOST), rests[-1]
    for _ in range(10):
        now += last
        rest = patience.acted("rules", now)
        assert rest == min(2 * last, LONGEST_REST_SECONDS)
        last = rest
    assert patience.resting(now) == {"rules": now + last}
    assert patience.resting(now + last) == {}


def test_quiet_is_forgiven_and_others_do_not_matter() -> None:
    patience = Patience()
    for now in range(MOST):
        patience.acted("rules", now)
    assert patience.acted("somebody else", MOST) == 0.0
    assert patience.acted("rules", 1000.0) == 0.0


def test_repairs_far_apart_are_no_fight() -> None:
    patience = Patience()
    assert not any(patience.acted("rules", 60.0 * n) for n in range(20))
