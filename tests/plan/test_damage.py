"""What is damage and what is somebody's will, as values."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface, ip_network

import pytest

from fairlead.kernel.merge import merged
from fairlead.model.facts import LinkFact, Vitals
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Namespace,
    Resource,
    Route,
    State,
    Sysctl,
    Veth,
    state,
)
from fairlead.model.zone import Member
from fairlead.plan.damage import target, unrooted
from fairlead.plan.diff import diff

JUMPS = [Rule("ip", "filter", "FORWARD", f"-j DOCKER-{n}", i) for i, n in enumerate("ABC", 1)]
WORLD: list[Resource] = [
    *(Chain("ip", "filter", f"DOCKER-{n}", ("-j one", "-j two")) for n in "ABC"),
    *JUMPS,
    Chain("ip", "nat", "DOCKER", ("-j x",)),
    Rule("ip", "nat", "PREROUTING", "-m addrtype -j DOCKER"),
    Rule("ip", "nat", "POSTROUTING", "-s 10.0.0.0/24 -j MASQUERADE"),
    Rule("ip", "nat", "POSTROUTING", "-s 10.0.1.0/24 -j MASQUERADE"),
    Policy("ip", "filter", "FORWARD", "DROP"),
    NftTable("ip", "fairlead", "ours"),
    NftSet("ip", "fairlead", "s", "set", "type ipv4_addr"),
    NftChain("ip", "fairlead", "c", ("accept",)),
    NftElement("ip", "fairlead", "s", "10.0.0.2"),
    NftElement("ip", "fairlead", "s", "10.0.0.3"),
    Sysctl(HOST, "net/ipv4/ip_forward", "1"),
    Bridge(HOST, "br", "02:42:00:00:00:01", 1500),
    Address(HOST, "br", ip_interface("10.0.0.1/24")),
    Namespace("box"),
    Veth("veth1", "br", "box", "eth0", "02:42:0a:00:00:02", 1500),
    Address("box", "eth0", ip_interface("10.0.0.2/24")),
    Route("box", ip_network("0.0.0.0/0"), None, "eth0"),
]
WANT = state(WORLD)
VITALS = Vitals(
    {n: LinkFact(n, True, "br" if n == "veth1" else "", 1500) for n in ("br", "veth1")},
    frozenset({(ip_network("10.0.0.0/24"), "br")}),
    {("ip", "nat", "POSTROUTING"): 2, ("ip", "nat", "PREROUTING"): 1},
)


def without(*gone: Resource) -> State:
    return {key: resource for key, resource in WANT.items() if resource not in gone}


def find(kind: type[Resource], place: int = 0) -> Resource:
    return [r for r in WORLD if isinstance(r, kind)][place]


@pytest.mark.parametrize("kind", [Chain, NftTable, NftSet, NftChain, Sysctl, Bridge, Veth])
def test_what_is_gone_comes_back(kind: type[Resource]) -> None:
    assert target(WANT, without(find(kind)), VITALS) == WANT


@pytest.mark.parametrize("kind", [Chain, NftChain])
def test_what_is_emptied_comes_back_and_what_is_edited_stays(kind: type[Resource]) -> None:
    item = find(kind)
    emptied, edited = replace(item, rules=()), replace(item, rules=("-j other",))  # type: ignore[type-var]
    assert target(WANT, {**WANT, item.key: emptied}, VITALS) == WANT
    assert target(WANT, {**WANT, item.key: edited}, VITALS)[item.key] == edited


def test_a_bridge_out_of_its_zone_is_damage_and_in_another_one_is_not() -> None:
    want = {**WANT, **state([Member("br")])}
    assert target(want, WANT, VITALS) == want
    moved = {**WANT, **state([Member("br", "trusted")])}
    assert target(want, moved, VITALS) == moved


def test_one_rule_less_is_somebodys_will() -> None:
    have = without(find(Rule, 4))
    assert target(WANT, have, VITALS) == have


def test_a_chain_without_any_rule_was_emptied() -> None:
    have = without(find(Rule, 4), find(Rule, 5))
    assert target(WANT, have, replace(VITALS, sizes={})) == WANT


def test_with_a_jump_gone_the_table_was_emptied() -> None:
    have = without(find(Rule, 3), find(Rule, 4))
    assert target(WANT, have, VITALS) == WANT


def test_one_element_less_is_somebodys_will_and_none_left_is_not() -> None:
    one = without(find(NftElement))
    assert target(WANT, one, VITALS) == one
    assert target(WANT, without(find(NftElement), find(NftElement, 1)), VITALS) == WANT


def test_a_policy_and_a_setting_come_back() -> None:
    have = {**WANT, **state([Policy("ip", "filter", "FORWARD", "ACCEPT")])}
    have |= state([Sysctl(HOST, "net/ipv4/ip_forward", "0")])
    assert target(WANT, have, VITALS) == WANT


def test_jumps_come_back_beside_those_that_stand_below_a_strangers_rule() -> None:
    below = {r.key: replace(r, place=r.place + 4) for r in (JUMPS[0], JUMPS[2])}
    below[JUMPS[2].key] = replace(JUMPS[2], place=6)
    found = target(WANT, {**without(*JUMPS), **below}, VITALS)
    places = [r.place for r in found.values() if isinstance(r, Rule) and r.chain == "FORWARD"]
    assert sorted(places) == [5, 6, 6]
    assert found[JUMPS[1].key] == replace(JUMPS[1], place=6)


def test_the_inside_of_a_sandbox_is_its_own_while_its_cable_stands() -> None:
    have = without(find(Address, 1), find(Route))
    assert target(WANT, have, VITALS) == have
    have = without(find(Address, 1), find(Route), find(Veth))
    assert target(WANT, have, VITALS) == WANT


def test_a_cable_that_is_down_inside_is_the_containers_affair() -> None:
    item = find(Veth)
    have = {**WANT, item.key: replace(item, up=False)}  # type: ignore[type-var]
    assert target(WANT, have, VITALS) == have
    near = {**VITALS.links, "veth1": LinkFact("veth1", False, "br", 1500)}
    assert target(WANT, have, replace(VITALS, links=near)) == WANT


def test_a_namespace_that_is_gone_is_not_made_anew() -> None:
    have = without(find(Namespace), find(Veth), find(Address, 1), find(Route))
    assert target(WANT, have, VITALS) == have


def test_what_others_put_beside_ours_is_never_removed() -> None:
    mine = Chain("ip", "filter", "DOCKER-MINE", ("-j z",))
    have = {**without(find(Chain)), mine.key: mine}
    steps = diff(target(WANT, have, VITALS), have)
    assert [step.resource for step in steps] == [find(Chain)]


def test_an_address_that_lost_its_way() -> None:
    steps = unrooted(WANT, WANT, replace(VITALS, connected=frozenset()))
    assert [step.verb for step in steps] == ["remove", "add"]
    assert unrooted(WANT, WANT, VITALS) == ()


@pytest.mark.parametrize(
    ("before", "present", "after", "result"),
    [
        ("abr", "abr", "abcr", "abcr"),
        ("abr", "xbr", "abcr", "xbcr"),
        ("abr", "br", "abcr", "bcr"),
        ("abr", "abxr", "abcr", "abxcr"),
        ("abr", "xabr", "cabr", "xcabr"),
        ("abr", "xbr", "br", "xbr"),
        ("abr", "xbr", "ar", "xr"),
        ("ab", "abx", "abc", "abcx"),
        ("abr", "", "abcr", "abcr"),
    ],
)
def test_edits_by_hand_and_our_own_change(
    before: str, present: str, after: str, result: str
) -> None:
    """Letters are rules."""
    assert "".join(merged(before, present, after)) == result


def test_what_was_said_of_a_network_goes_with_it() -> None:
    """An edit by hand in a chain that stays speaks of an interface: when that goes, so does it."""
    before = ("-o docker0 -j DROP", "-o br-red -j DROP", "-j RETURN")
    present = ("-o docker0 -j ACCEPT", "-o br-red -j ACCEPT", "-j RETURN")
    after = ("-o docker0 -j DROP", "-j RETURN")
    assert merged(before, present, after) == ("-o docker0 -j ACCEPT", "-j RETURN")
