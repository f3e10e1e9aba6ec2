"""Ranges of published ports as nftables has them, and that any kernel takes what nft makes of rules.

nft says an interval's parts in the order of the network. Of a part of one byte that stands in
the host's order nft 1.0.6 says that bytes are to be swapped, two at a time, of which there is
one: some kernels take no notice, others refuse the rule, and with it the whole firewall.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import pytest

from fairlead.firewall import access, guard, routes, tunnels
from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import Habits, policy
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.nftables import render
from fairlead.model.marks import Marks
from fairlead.model.state import Resource, Scope, State, state
from fairlead.plan.diff import diff
from tests.contract.conftest import linux, private_host  # noqa: F401
from tests.firewall import field, spans
from tests.firewall.pages import PAGES

pytestmark = pytest.mark.root

MARKS = Marks("c0ffee00", "TEST")
BYTEORDER = re.compile(r"byteorder reg \d+ = (?:hton|ntoh)\(reg \d+, (\d+), (\d+)\)")


def swaps(said: str) -> list[str]:
    """The swaps of bytes in what nft says of rules that are of more bytes than are there."""
    return [m[0] for m in BYTEORDER.finditer(said) if int(m[2]) % int(m[1])]


def compiled(commands: str) -> str:
    """What nft makes of commands."""
    done = subprocess.run(
        ["nft", "--debug=netlink", "--check", "--file", "-"],
        input=commands, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def wanted(marks: Marks, habits: Habits, *boxes: str) -> State:
    meant = policy(spans.world(*boxes))
    return state(list(firewall("nftables", marks, habits=habits).resources(meant)))


def test_a_swap_is_seen(private_host: None) -> None:  # noqa: F811
    """A whole one of four bytes, as this nft says it, is none to be refused; half of one is."""
    said = compiled("""
        add table ip t
        add set ip t d { type mark . inet_service; flags interval; }
        add chain ip t c
        add rule ip t c meta mark . th dport @d accept
    """)
    whole = "byteorder reg 1 = hton(reg 1, 4, 4)"
    assert whole in said
    assert swaps(said) == []
    half = whole.replace("4, 4", "2, 1")
    assert swaps(said.replace(whole, half)) == [half]


def rules() -> Iterator[tuple[str, Iterable[Resource]]]:
    """All that nftables is told in the host's namespace, by what it is for."""
    for beside in (access, guard, routes):
        yield beside.__name__, beside.base(MARKS)
    for own in (ip_address("192.0.2.1"), ip_address("2001:db8::1")):
        yield f"tunnels, {own}", (*tunnels.base(MARKS, own), *tunnels.sealed(MARKS))
    worlds = {"options": field.world(), "spans": spans.world(*spans.PUBLISHED)}
    worlds |= {page.name: page.world for page in PAGES}
    for name, world in worlds.items():
        meant = policy(world, frozenset({4, 6}))
        for word, habits in spans.HABITS.items():
            yield f"{name}, {word}", firewall("nftables", MARKS, habits=habits).resources(meant)


def test_any_kernel_takes_our_rules(private_host: None) -> None:  # noqa: F811
    """Of every option and every habit."""
    for name, resources in rules():
        tables = {k: v for k, v in state(list(resources)).items() if k[0].startswith("nft")}
        said = compiled(render(diff(tables, {})))
        assert "[ lookup reg 1 set " in said, f"nothing of the rules is to be seen: {name}"
        assert swaps(said) == [], name


@pytest.mark.parametrize("habits", spans.HABITS.values(), ids=spans.HABITS)
def test_ranges_that_touch_come_and_go_alone(linux: LinuxKernel, habits: Habits) -> None:  # noqa: F811
    """Each container's, in any order, and both at once; nothing of the other's is lost."""
    both = tuple(spans.PUBLISHED)
    stations = [(), both[:1], both, both[1:], both, both[:1], both[1:], both, ()]
    for boxes in stations:
        want = wanted(linux.marks, habits, *boxes)
        linux.apply(diff(want, linux.observe(Scope())))
        assert linux.observe(Scope()) == want
