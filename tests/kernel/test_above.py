"""Rules that come above the last one of a long chain: as iptables would have put them there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from fairlead.kernel.above import LEAST, Above, added, fits
from fairlead.kernel.iptables import Iptables, render
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket
from fairlead.kernel.rules import Rules
from fairlead.model.iptables import Chain
from fairlead.model.marks import Marks
from fairlead.model.step import Step
from tests.contract.conftest import private_host  # noqa: F401

MARKS = Marks("c0ffee00", "TEST")
TARGET = Chain("ip", "filter", "TEST-TARGET", ())
LINES = tuple(f"-o br-{number} -j DROP" for number in range(2 * LEAST))


def chain(*rules: str, family: str = "ip") -> Chain:
    return Chain(family, "filter", "TEST-LONG", (*rules, "-j RETURN"))


def stands(program: str = "iptables") -> list[str]:
    """The rules of the chain, in the words of iptables."""
    done = subprocess.run([program, "-S", "TEST-LONG"], capture_output=True, text=True, check=True)
    return [line.removeprefix("-A TEST-LONG ") for line in done.stdout.splitlines()[1:]]


@pytest.fixture
def rules(private_host: None) -> Iterator[Rules]:  # noqa: F811
    with Socket(NETLINK_NETFILTER) as netlink:
        found = Rules(MARKS, netlink)
        found.write_iptables([Step(None, TARGET), Step(None, chain(*LINES))])
        found.generation.looking()
        found.generation.settle(intact=True)
        yield found
        found.close()


@pytest.mark.root
@pytest.mark.parametrize(
    "new",
    [
        ("-o br-new -j DROP",),
        ("-i br-new ! -o br-new -j TEST-TARGET",),
        ("-i a.b_c-d ! -o fifteen-letters -j ACCEPT", "-o x -j RETURN"),
    ],
)
def test_it_stands_where_and_as_iptables_would_have_it(rules: Rules, new: Sequence[str]) -> None:
    """And can be taken away by iptables again."""
    before, after = chain(*LINES), chain(*LINES, *new)
    assert fits(Step(before, after)) == ("-j RETURN" not in new[-1])

    rules.write_iptables([Step(before, after)])
    assert stands() == [*after.rules]
    assert not rules.generation.edited

    rules.write_iptables([Step(after, before)])
    assert stands() == [*before.rules]


@pytest.mark.root
def test_the_last_rule_may_have_been_written_anew(rules: Rules) -> None:
    """What was known of it is looked up again."""
    first, second = (
        chain(*LINES, "-o one -j DROP"),
        chain(*LINES, "-o one -j DROP", "-o two -j DROP"),
    )
    rules.write_iptables([Step(chain(*LINES), first)])
    subprocess.run(["iptables", "-D", "TEST-LONG", "-j", "RETURN"], check=True)
    subprocess.run(["iptables", "-A", "TEST-LONG", "-j", "RETURN"], check=True)

    rules.write_iptables([Step(first, second)])
    assert stands() == [*second.rules]


@pytest.mark.root
def test_ipv6(rules: Rules) -> None:
    """ip6tables lists it as its own."""
    before, after = chain(*LINES, family="ip6"), chain(*LINES, "-o new -j DROP", family="ip6")
    rules.write_iptables([Step(None, before)])
    rules.write_iptables([Step(before, after)])
    assert stands("ip6tables") == [*after.rules]


@pytest.mark.root
def test_if_the_rest_is_refused_it_goes_again(rules: Rules) -> None:
    """All of a change or nothing of it: also of what has been written already."""
    bad = Chain("ip", "filter", "TEST-BAD", ("-j NO-SUCH-TARGET",))
    after = chain(*LINES, "-o new -j DROP")
    with pytest.raises(Exception, match="NO-SUCH-TARGET"):
        rules.write_iptables([Step(chain(*LINES), after), Step(None, bad)])
    assert stands() == [*LINES, "-j RETURN"]


@pytest.mark.root
def test_a_kernel_that_has_no_such_chain_takes_nothing(private_host: None) -> None:  # noqa: F811
    """As where iptables is the old program, which does not use nf_tables."""
    with Socket(NETLINK_NETFILTER) as netlink:
        assert not Above(netlink).take([Step(chain(*LINES), chain(*LINES, "-o new -j DROP"))])


def test_anything_else_is_for_iptables() -> None:
    """Rules that say more, rules elsewhere, rules that go."""
    before = chain(*LINES)
    for rules in (
        (*LINES, "-o new -m conntrack --ctstate NEW -j DROP"),
        (*LINES, "-o eth+ -j DROP"),
        (*LINES, "-s 10.0.0.0/8 -j DROP"),
        ("-o new -j DROP", *LINES),
        (*LINES[:-1], "-o new -j DROP"),
        (*LINES[1:], "-o new -j DROP", "-o newer -j DROP"),
        LINES,
    ):
        assert not added(Step(before, chain(*rules)))
    assert not added(Step(None, before))
    assert not added(Step(replace(before, rules=()), before))


def test_at_the_top_and_at_the_end_no_place_is_named() -> None:
    """So that iptables need not read what stands there."""
    before = Chain("ip", "filter", "C", ("a", "b", "c"))
    after = replace(before, rules=("1", "2", "a", "3", "b", "c", "4", "5"))
    assert render([Step(before, after)])["ip", "filter"].splitlines()[1:-1] == [
        "-I C 2",
        "-I C 1",
        "-I C 4 3",
        "-A C 4",
        "-A C 5",
    ]


@pytest.mark.root
def test_the_top_the_end_and_the_middle_in_one_change(private_host: None) -> None:  # noqa: F811
    """Wherever they come, they stand in the order that was wanted."""
    program = Iptables()
    before = chain(*LINES)
    rules = ["-o top1 -j DROP", "-o top2 -j DROP", *before.rules, "-o end1 -j DROP", "-o e -j DROP"]
    rules.insert(7, "-o middle -j DROP")
    program.restore(render([Step(None, before)]))
    program.restore(render([Step(before, replace(before, rules=tuple(rules)))]))
    assert stands() == rules
    program.close()
