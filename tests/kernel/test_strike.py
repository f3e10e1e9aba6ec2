"""Rules that go from a long chain: those that were to go, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fairlead.kernel.above import LEAST, Above, fits
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket
from fairlead.kernel.rules import Rules
from fairlead.kernel.strike import struck
from fairlead.model.iptables import Chain
from fairlead.model.marks import Marks
from fairlead.model.step import Step
from tests.contract.conftest import private_host  # noqa: F401
from tests.kernel.test_above import chain, stands

BRIDGES = tuple(f"br-{number}" for number in range(LEAST))
WHOLE = chain(
    *(f"-o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT" for name in BRIDGES),
    *(f"-i {name} ! -o {name} -j ACCEPT" for name in BRIDGES),
    *(f"-d 10.9.{number}.0/24 -j DROP" for number in range(LEAST)),
)


@pytest.fixture
def rules(private_host: None) -> Iterator[Rules]:  # noqa: F811
    with Socket(NETLINK_NETFILTER) as netlink:
        found = Rules(Marks("c0ffee00", "TEST"), netlink)
        found.write_iptables([Step(None, WHOLE)])
        found.generation.looking()
        found.generation.settle(intact=True)
        yield found
        found.close()


def without(*places: int) -> Chain:
    kept = [rule for place, rule in enumerate(WHOLE.rules) if place not in places]
    return replace(WHOLE, rules=tuple(kept))


@pytest.mark.root
@pytest.mark.parametrize("places", [(0,), (3, LEAST + 3, 2 * LEAST + 3), (1, 2, 3), (3 * LEAST,)])
def test_they_and_no_others(rules: Rules, places: tuple[int, ...]) -> None:
    after = without(*places)
    assert struck(Step(WHOLE, after)) == places
    rules.write_iptables([Step(WHOLE, after)])
    assert stands() == [*after.rules]
    assert not rules.generation.edited

    rules.write_iptables([Step(after, WHOLE)])
    assert stands() == [*WHOLE.rules]


@pytest.mark.root
def test_what_a_person_put_among_them_stays(rules: Rules) -> None:
    """It moved the places of all that follow."""
    mine = "-i br-7 -p tcp -j ACCEPT"
    subprocess.run(["iptables", "-I", "TEST-LONG", "3", *mine.split()], check=True)
    after = without(1, 5, LEAST + 5)
    rules.write_iptables([Step(WHOLE, after)])
    expected = [*after.rules]
    expected.insert(1, mine)
    assert stands() == expected


@pytest.mark.root
@pytest.mark.parametrize(
    "edit", ["-I TEST-LONG -j ACCEPT", "-R TEST-LONG 4 -o br-0 -j ACCEPT", "-D TEST-LONG 4"]
)
def test_who_looks_at_other_rules_takes_none_of_them(private_host: None, edit: str) -> None:  # noqa: F811
    """If somebody was quicker it is left to iptables, which compares."""
    with Socket(NETLINK_NETFILTER) as netlink:
        found = Rules(Marks("c0ffee00", "TEST"), netlink)
        found.write_iptables([Step(None, WHOLE)])
        subprocess.run(["iptables", *edit.split()], check=True)
        before = stands()
        assert not Above(netlink).take([Step(WHOLE, without(3))])
        assert stands() == before
        found.close()


@pytest.mark.root
def test_if_the_rest_is_refused_they_come_back(rules: Rules) -> None:
    bad = Chain("ip", "filter", "TEST-BAD", ("-j NO-SUCH-TARGET",))
    with pytest.raises(Exception, match="NO-SUCH-TARGET"):
        rules.write_iptables([Step(WHOLE, without(0, 9)), Step(None, bad)])
    assert stands() == [*WHOLE.rules]


def test_only_what_goes_alone() -> None:
    """Not one that goes while another comes, nor a whole chain, nor from a short one."""
    other = replace(WHOLE, rules=(*WHOLE.rules[1:], "-j ACCEPT"))
    for after in (other, WHOLE, replace(WHOLE, rules=tuple(reversed(WHOLE.rules)))):
        assert not struck(Step(WHOLE, after))
    assert not struck(Step(WHOLE, None))
    assert not fits(Step(chain("-j DROP"), chain()))


@pytest.mark.root
def test_one_after_the_other_whoever_writes_in_between(rules: Rules) -> None:
    """What is remembered of a chain is not believed when others were there meanwhile."""
    rules.write_iptables([Step(WHOLE, without(2))])
    rules.write_iptables([Step(without(2), without(2, 7))])
    assert stands() == [*without(2, 7).rules]
    again = replace(WHOLE, rules=(*without(2, 7).rules, WHOLE.rules[2]))
    rules.write_iptables([Step(without(2, 7), again)])
    rules.write_iptables([Step(again, replace(again, rules=again.rules[1:]))])
    assert stands() == [*again.rules[1:]]

    left = replace(again, rules=again.rules[1:])
    subprocess.run(["iptables", "-D", "TEST-LONG", "1"], check=True)
    subprocess.run(["iptables", "-I", "TEST-LONG", *left.rules[0].split()], check=True)
    rules.write_iptables([Step(left, replace(left, rules=left.rules[2:]))])
    assert stands() == [*left.rules[2:]]
