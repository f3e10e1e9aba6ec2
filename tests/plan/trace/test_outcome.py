"""The last word: open or closed, why, and what to do."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from fairlead.model.packet import Flow, Listener, Way
from fairlead.model.peer import Peer
from fairlead.model.world import Change
from fairlead.plan.trace.ends import End, asked, published
from fairlead.plan.trace.outcome import (
    Answer,
    Outcome,
    beyond,
    expected,
    heard,
    leaves,
    outcome,
    reached_by,
)
from fairlead.plan.trace.story import ending
from fairlead.plan.trace.watching import meant
from tests.plan.trace.scene import (
    BEGUN,
    CLOSED,
    FLOW,
    FRONT,
    HEARD,
    LED,
    LEFT,
    RULES,
    WEB,
    WORLD,
    sight,
)

IN_WEB, HERE = End(WEB, LED.destination), End(host=True)


def said(*told: object, reached: End | None = None, way: Way = Way()) -> Outcome:  # noqa: B008
    found = ending([BEGUN, *told] if told else [])  # type: ignore[list-item]
    return outcome(WORLD, RULES, found, found.flow or FLOW, reached, (), way)


@pytest.mark.parametrize(
    ("address", "destination", "hears"),
    [
        ("0.0.0.0", "10.1.0.2", True),
        ("::", "10.1.0.2", True),
        ("::", "2001:db8::1", True),
        ("10.1.0.2", "10.1.0.2", True),
        ("127.0.0.1", "10.1.0.2", False),
        ("::1", "10.1.0.2", False),
        ("0.0.0.0", "2001:db8::1", False),
    ],
)
def test_who_hears(address: str, destination: str, hears: bool) -> None:
    """All of IPv6 is all of IPv4 as well, and not the other way round."""
    flow = replace(LED, destination=ip_address(destination))
    found = heard(WORLD, flow, IN_WEB, [Listener(ip_address(address), 80)])
    assert found.answer == (Answer.OPEN if hears else Answer.CLOSED)
    if not hears:
        assert f"web listens on 80/tcp at {'[::1]' if address == '::1' else address}:80 only" == (
            found.why
        )


def test_nobody_listens() -> None:
    found = heard(WORLD, LED, IN_WEB, [Listener(ip_address("0.0.0.0"), 81)])
    assert (found.answer, found.why) == (Answer.CLOSED, "nobody listens on 80/tcp in web")


@pytest.mark.parametrize(
    ("protocol", "port", "why"),
    [
        ("tcp", 9999, "nobody listens on 9999/tcp of this host, and no container publishes it"),
        ("udp", 8053, "and web publishes it at 127.0.0.1:8053 only"),
        ("tcp", 8053, "and what is published is 8053/udp"),
    ],
)
def test_nothing_of_the_host_listens(protocol: str, port: int, why: str) -> None:
    flow = Flow(protocol, FLOW.source, FLOW.destination, port)
    there = [Listener(ip_address("127.0.0.1"), 8053)] if protocol == "udp" else []
    found = heard(WORLD, flow, HERE, there)
    assert found.answer == Answer.CLOSED
    assert why in found.why
    assert found.todo


def test_a_rule_dropped_it() -> None:
    """Of ours the reason is told, of a stranger's the rule itself and where it is."""
    ours = said(sight("ip filter DOCKER-ISOLATION-STAGE-2", CLOSED, "drop"))
    assert (ours.answer, ours.why) == (Answer.CLOSED, "networks are closed to each other")
    theirs = said(sight("inet evil input", "tcp dport 8080 drop", "drop"))
    assert (
        theirs.why == "`tcp dport 8080 drop` in inet evil input drops it, which is not fairlead's"
    )
    policy = said(sight("ip filter INPUT", verdict="drop"))
    assert policy.why.startswith("the chain's policy in ip filter INPUT drops it")
    queued = said(sight("inet evil input", "queue to 0", "queue"))
    assert queued.answer == Answer.UNKNOWN


def test_the_kernel_dropped_it() -> None:
    """Routes say why if they do; else where it was seen last."""
    assert (
        "there is no route" in said(sight("ip a b", "x"), way=Way(refusal="there is no route")).why
    )
    assert "after ip a b" in said(sight("ip a b", "x")).why
    assert "never came to the rules" in said().why


def test_it_leaves_the_host() -> None:
    found = said(LEFT)
    assert (found.answer, found.why) == (
        Answer.LEAVES,
        "it leaves this host by br-f, and no rule here is in its way",
    )
    assert said(LEFT, reached=IN_WEB).answer == Answer.CLOSED
    assert said(HEARD, reached=HERE).answer == Answer.CLOSED


@pytest.mark.parametrize(
    ("link", "name"),
    [(FRONT.ifname, "web"), ("vethe1", "web"), ("vethe3", "web"), ("eth0", None), ("br-f", None)],
)
def test_who_is_reached(link: str, name: str | None) -> None:
    """Whoever has the address, if the packet left by his network and not by another way."""
    left = replace(ending([BEGUN, LEFT]), link=link)
    found = reached_by(WORLD, left, LED)
    assert (found.name if found is not None else None) == name
    (line,) = leaves(WORLD, left, LED, found)
    assert line == ("  leaves  for web on network front" if name else f"  leaves  by {link}")


def test_nobody_is_reached() -> None:
    """Of our own network we know who is on it."""
    left = replace(LEFT, goes_by=FRONT.ifname)
    found = said(replace(left, flow=replace(LED, destination=ip_address("10.1.0.9"))))
    assert (found.answer, found.why) == (Answer.CLOSED, "nobody has 10.1.0.9 on network front")
    assert reached_by(WORLD, ending([BEGUN, HEARD]), FLOW) == HERE
    assert reached_by(WORLD, ending([BEGUN]), LED) is None


def test_it_goes_where_no_rule_is() -> None:
    """To a container on another host that is known, or to somebody who is not."""
    there = ip_address("10.1.0.9")
    peer = Peer("p", "f" * 64, ip_address("192.0.2.9"), "", (), "far")
    peer = replace(peer, addresses=(WORLD.endpoints["e1"].addresses[0],))
    world = WORLD.after(Change(put=(peer,)))
    assert "to far on host 192.0.2.9" in beyond(world, LED, "network front").why
    left = outcome(world, RULES, ending([BEGUN, LEFT]), LED, None, (), Way())
    assert left.why.startswith("it leaves this host by br-f to far on host 192.0.2.9")
    flow = replace(LED, destination=there)
    assert (
        "where nobody that fairlead knows has 10.1.0.9" in beyond(world, flow, "network front").why
    )


def test_what_is_expected() -> None:
    ports = list(published(WORLD, "tcp", 8080))
    line = "  port    8080/tcp of this host leads to port 80 of web on network front"
    assert list(expected(WORLD, FLOW, True, ports)) == [line]
    assert not list(expected(WORLD, FLOW, False, ports))


def test_lines() -> None:
    found = Outcome(Answer.CLOSED, "because", "that")
    assert list(found.lines()) == ["closed: because", "    do: that"]


def test_what_is_watched_for() -> None:
    """Beginnings of connections, few a second, from and to whom it was said, family by family."""
    tail = "meta l4proto tcp th dport 80 tcp flags & (syn | ack) == syn limit rate 5/second"
    matches = meant(WORLD, asked(WORLD, "db", "both:80"))
    (match,) = matches["inet", "c_begin"]
    assert match.startswith(f"ip saddr {{ 10.2.0.2 }} ip daddr {{ 10.1.0.3, 10.2.0.3 }} {tail}")
    assert matches["bridge", "c_begin"] == matches["inet", "c_begin"]

    here = meant(WORLD, asked(WORLD, "any", ":53/udp", watched=True))
    assert here["inet", "c_begin"][0].startswith("fib daddr type local meta l4proto udp")
    assert not here["bridge", "c_begin"]
    own = meant(WORLD, asked(WORLD, "host", "web:80"))
    assert own["inet", "c_sent"]
    assert not own["inet", "c_begin"]
    assert not own["bridge", "c_begin"]
    assert not meant(WORLD, asked(WORLD, "2001:db8::1", "192.0.2.1:80"))["inet", "c_begin"]
