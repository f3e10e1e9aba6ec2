"""What the kernel tells of a packet, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.packet import PROBE_TABLE, Sight, Verdict
from fairlead.plan import reasons
from fairlead.plan.trace.rulebook import TODO, Author
from fairlead.plan.trace.story import Fate, ending, grouped, hops, is_over
from fairlead.plan.trace.watching import all_told, packets
from tests.plan.trace.scene import BEGUN, CLOSED, FLOW, HEARD, LED, LEFT, LISTED, RULES, sight

JUMP = sight("ip filter FORWARD", "-j DOCKER-FORWARD", "jump", to="DOCKER-FORWARD")
ISOLATED = sight("ip filter DOCKER-ISOLATION-STAGE-2", CLOSED, "drop")
FOREIGN = sight("inet evil input", "tcp dport 8080 drop", "drop", flow=LED, goes_by="br-f")
YOURS = sight("ip filter DOCKER-USER", "-s 192.0.2.7/32 -j DROP", "drop")
POLICY = sight("ip filter INPUT", verdict="drop")


@pytest.mark.parametrize(
    ("told", "fate"),
    [
        ((), Fate.UNSEEN),
        ((BEGUN,), Fate.LOST),
        ((BEGUN, JUMP), Fate.LOST),
        ((BEGUN, HEARD), Fate.DELIVERED),
        ((BEGUN, JUMP, LEFT), Fate.LEFT),
        ((BEGUN, LEFT, HEARD), Fate.DELIVERED),
        # By the loopback it comes back.
        ((BEGUN, replace(LEFT, goes_by="lo")), Fate.LOST),
        ((BEGUN, replace(LEFT, goes_by="lo"), HEARD), Fate.DELIVERED),
        ((BEGUN, JUMP, ISOLATED), Fate.DROPPED),
        ((BEGUN, LEFT, POLICY), Fate.DROPPED),
        ((BEGUN, sight("inet x y", "queue to 0", "queue")), Fate.TAKEN),
    ],
)
def test_how_it_ended(told: tuple[Sight, ...], fate: Fate) -> None:
    assert ending(told).fate == fate
    assert is_over(told) == (fate not in (Fate.LOST, Fate.UNSEEN))


def test_an_end_says_as_what_and_by_which_link() -> None:
    """As the packet looked last; a bridge beneath the bridge is no other way."""
    after = sight(f"bridge {PROBE_TABLE} c_leaving", goes_by="veth1", flow=LED)
    assert (ending((BEGUN, LEFT)).flow, ending((BEGUN, LEFT, after)).link) == (LED, "br-f")
    assert ending((BEGUN, after)).link == "veth1"
    # The links come with the first word of a hook, the verdict with its last.
    assert ending((BEGUN, LEFT, replace(LEFT, goes_by="", flow=None))).link == "br-f"


SIGHTS = st.builds(
    sight,
    st.sampled_from(
        ["ip filter FORWARD", "inet evil x", *(f"inet {PROBE_TABLE} {c}" for c in
         ("c_begin", "c_sent", "c_leaving", "c_delivered"))]
    ),
    st.sampled_from(["", "-j ACCEPT", "vmap @x"]),
    st.sampled_from([str(verdict) for verdict in Verdict]),
    flow=st.sampled_from([None, FLOW, LED]),
)  # fmt: skip


@given(st.lists(SIGHTS, max_size=12))
def test_whatever_is_told(told: list[Sight]) -> None:
    """It is dropped if and only if a rule that is not the probe's says so before the others."""
    found = ending(told)
    judged = [
        s for s in told if s.table != PROBE_TABLE and s.verdict in ("drop", "queue", "stolen")
    ]
    if judged:
        assert found.at is judged[0]
    else:
        assert found.fate not in (Fate.DROPPED, Fate.TAKEN)
    # And each of a stranger's rules that has a say is told.
    lines = "\n".join(hops(told, RULES, FLOW))
    says = {(s.where, s.verdict) for s in told if s.table == "evil" and s.handle}
    assert lines.count("foreign inet evil x") == len(says - {("inet evil x", "continue")})


def test_what_decided_is_told_with_its_reason() -> None:
    """What only leads there is left out; what it became is told."""
    led = sight("ip filter FORWARD", "-j DOCKER-ISOLATION-STAGE-1", "jump", to="X", flow=LED)
    lines = list(hops((BEGUN, replace(JUMP, flow=LED), ISOLATED), RULES, FLOW))
    assert lines == [
        "  becomes a packet for 10.1.0.2:80",
        f"  rule    ip filter DOCKER-ISOLATION-STAGE-2: {CLOSED}",
        "          because networks are closed to each other",
    ]
    whole = "\n".join(hops((BEGUN, JUMP, led, ISOLATED), RULES, FLOW, whole=True))
    assert "rule    ip filter FORWARD: -j DOCKER-FORWARD" in whole


def test_whose_a_rule_is() -> None:
    lines = list(hops((BEGUN, YOURS), RULES, FLOW)) + list(hops((FOREIGN,), RULES, LED))
    assert lines == [
        "  yours   ip filter DOCKER-USER: -s 192.0.2.7/32 -j DROP",
        "          fairlead only made the chain",
        "  foreign inet evil input: tcp dport 8080 drop",
        "          not fairlead's",
    ]
    assert list(hops((POLICY,), RULES, FLOW)) == [
        "  policy  ip filter INPUT: drops what it has no rule for"
    ]
    ours = sight("ip filter FORWARD", verdict="drop")
    assert (RULES.author(ours), RULES.author(POLICY)) == (Author.OURS, Author.FOREIGN)
    assert RULES.reason(ours) == reasons.STRANGERS


def test_a_list_says_for_whom_it_is() -> None:
    dropped = sight(f"inet fairlead {LISTED}", "drop", "drop")
    assert RULES.reason(dropped) == "the published port is for 203.0.113.0/24, and for this host"
    assert "fairlead.publish_from" in RULES.todo(dropped)


@pytest.mark.parametrize(
    ("met", "todo"),
    [
        (FOREIGN, "nft -a list chain inet evil input"),
        (YOURS, "iptables -t filter -D DOCKER-USER -s 192.0.2.7/32 -j DROP"),
        (POLICY, "iptables -t filter -S INPUT"),
        (sight("ip6 filter INPUT", verdict="drop"), "ip6tables -t filter -S INPUT"),
        (sight("inet evil input", verdict="drop"), "nft -a list chain inet evil input"),
        (ISOLATED, "fairlead network connect"),
    ],
)
def test_what_to_do_about_it(met: Sight, todo: str) -> None:
    assert todo in RULES.todo(met)


def test_hints_are_for_reasons_that_there_are() -> None:
    """A reason that is worded anew takes its hint along."""
    known = {why for table in (reasons.IPTABLES, reasons.NFTABLES) for _, _, why in table}
    assert TODO.keys() <= known


def test_packets_are_told_apart() -> None:
    """Others' are left out; one that passes the loopback is one, under two numbers."""
    theirs = replace(FOREIGN, packet=2)
    again = replace(BEGUN, packet=3)
    other = replace(BEGUN, packet=4, flow=replace(FLOW, source_port=40001))
    told = [BEGUN, theirs, HEARD, again, other, replace(HEARD, packet=3)]
    assert set(grouped(told)) == {1, 3, 4}
    assert [len(each) for each in packets(told).values()] == [4, 1]
    assert not all_told(told)
    assert all_told([*told, replace(HEARD, packet=4)])
