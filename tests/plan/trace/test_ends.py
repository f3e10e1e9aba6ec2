"""Who is meant by what a user types."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.errors import Invalid, NotFound
from fairlead.model.packet import PROTOCOLS
from fairlead.model.world import Change
from fairlead.plan.trace.ends import (
    HIGHEST_PORT,
    End,
    asked,
    covers,
    destination,
    end,
    meeting,
    published,
)
from tests.plan.trace.scene import BOTH, DB, FRONT, WEB, WORLD
from tests.plan.trace.scene import end as end_


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (":8080", ("", 8080, "tcp")),
        ("web:80", ("web", 80, "tcp")),
        ("web:53/UDP", ("web", 53, "udp")),
        ("192.0.2.7:80", ("192.0.2.7", 80, "tcp")),
        ("[2001:db8::7]:80", ("2001:db8::7", 80, "tcp")),
    ],
)
def test_a_target(text: str, meant: tuple[str, int, str]) -> None:
    assert destination(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8080", "names no port"),
        ("web:", "names no port"),
        ("web:http", "names no port"),
        ("web:²", "names no port"),
        ("web:0", "is no port"),
        ("web:65536", "is no port"),
        ("web:80/sctp", "cannot be followed"),
        ("web:80/", "cannot be followed"),
    ],
)
def test_no_target(text: str, why: str) -> None:
    """What is wrong is said, and what would be right."""
    with pytest.raises(Invalid, match=why) as raised:
        destination(text)
    assert raised.value.hint


@given(st.text(max_size=30) | st.from_regex(r"\[?[a-z0-9.:]{0,12}\]?:[0-9]{1,6}(/[a-z]{1,4})?"))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        _, port, protocol = destination(text)
    except Invalid:
        return
    assert 0 < port <= HIGHEST_PORT
    assert protocol in PROTOCOLS


@pytest.mark.parametrize("ref", ["web", WEB.container, WEB.container[:4], WEB.id, "10.1.0.2"])
def test_a_container(ref: str) -> None:
    """By its name, what its ids begin with, or an address of its."""
    assert end(WORLD, ref).box is WEB


def test_the_host_and_strangers() -> None:
    assert end(WORLD, "host").host
    stranger = end(WORLD, "192.0.2.7")
    assert (stranger.box, stranger.host, stranger.name) == (None, False, "192.0.2.7")


@pytest.mark.parametrize("ref", ["nosuch", "c1c", ""])
def test_nobody(ref: str) -> None:
    with pytest.raises(NotFound):
        end(WORLD, ref)


def test_an_address_brings_no_words_along() -> None:
    """Python takes any text for the zone of an address; nftables would read it."""
    with pytest.raises(Invalid, match="of one link"):
        end(WORLD, "fe80::1%eth0 } drop ; #")


def test_anybody_only_while_watching() -> None:
    """Of a packet that is not there yet somebody has to be its sender."""
    assert asked(WORLD, "any", ":80", watched=True).source.anybody
    for nobody in ("any", ""):
        with pytest.raises(Invalid):
            asked(WORLD, nobody, ":80")


def test_two_meet_on_the_network_that_they_share() -> None:
    """And who shares none is found where he leads out."""
    for source, network in ((DB, "back"), (WEB, "front"), (None, "back")):
        where = meeting(WORLD, End(source) if source else End(host=True), BOTH)
        assert where is not None
        assert WORLD.networks[where.network].name == network


def test_a_network_that_only_leads_out_is_not_shared() -> None:
    """What somebody asked for is where containers meet; who is outside comes by the way out."""
    out = [end_("o1", FRONT, WEB, "10.1.0.8"), end_("o2", FRONT, DB, "10.1.0.9")]
    service = tuple(replace(e, service=True, order=5) for e in out)
    world = WORLD.after(Change(put=service, drop=(WORLD.endpoints["e1"],)))
    web, db = world.sandboxes[WEB.id], world.sandboxes[DB.id]
    found = meeting(world, End(web), db)
    assert found is not None
    assert world.networks[found.network].name == "back"
    found = meeting(world, End(host=True), web)
    assert found is not None
    assert found.service


def test_a_published_port() -> None:
    """It is one of the addresses that it was published at, of that protocol alone."""
    ((box, port),) = published(WORLD, "tcp", 8080)
    assert box is WEB
    assert covers(port, ip_address("192.0.2.1"))
    assert not covers(port, ip_address("::1"))
    ((_, port),) = published(WORLD, "udp", 8053)
    assert [covers(port, ip_address(a)) for a in ("127.0.0.1", "192.0.2.1")] == [True, False]
    assert not list(published(WORLD, "udp", 8080))
