"""Elements that we write ourselves are the ones that nft would have written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import Policy, policy
from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.nft import Context
from fairlead.kernel.nftables import parts
from fairlead.kernel.nftelements import MOST, messages
from fairlead.model.nftables import NftChain, NftElement
from fairlead.model.state import Scope, State, state
from fairlead.model.step import Step
from fairlead.plan.diff import diff
from tests.contract.conftest import linux, private_host  # noqa: F401
from tests.firewall.pages import PAGES, Page


def written(kernel: LinuxKernel, meant: Policy) -> State:
    return state(list(firewall("nftables", kernel.marks).resources(meant)))


@pytest.mark.root
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nft_lists_them_as_they_were_meant(linux: LinuxKernel, page: Page) -> None:  # noqa: F811
    """Networks and ports come to a table that stands, and go from it, without nft for elements."""
    before, after = written(linux, Policy()), written(linux, policy(page.world))
    linux.apply(diff(before, {}))

    linux.apply(steps := diff(after, before))
    assert len(parts([s for s in steps if isinstance(s.resource, NftChain | NftElement)])) > 1
    assert linux.observe(Scope()) == after

    linux.apply(diff(before, after))
    assert linux.observe(Scope()) == before


@pytest.mark.root
def test_by_whichever_way_they_came_nft_can_take_them_away(linux: LinuxKernel) -> None:  # noqa: F811
    """One is written by nft and taken away by us, or the other way round."""
    before = written(linux, Policy())
    elements = [item for page in PAGES for item in written(linux, policy(page.world)).values()]
    mine = {e.key: e for e in elements if isinstance(e, NftElement) and "jump" not in e.value}
    after = {**before, **mine}
    steps = diff(after, before)
    linux.apply(diff(before, {}))

    linux.apply(steps)
    with Context() as nft:
        for item in mine.values():
            nft.run(f"delete element {item.family} {item.table} {item.set} {{ {item.item} }}")
        assert linux.observe(Scope()) == before
        for item in mine.values():
            value = f" : {item.value}" if item.value else ""
            nft.run(f"add element {item.family} {item.table} {item.set} {{ {item.item}{value} }}")
    linux.apply(diff(before, after))
    assert linux.observe(Scope()) == before


@pytest.mark.root
def test_what_is_not_as_planned_is_said_from_what_stands(linux: LinuxKernel) -> None:  # noqa: F811
    """An element that somebody took away before, or put there."""
    before, after = written(linux, Policy()), written(linux, policy(PAGES[2].world))
    linux.apply(diff(after, {}))
    with Context() as nft:
        nft.run(f"flush set ip {linux.marks.table} s_closed")
    linux.apply(diff(before, after))
    assert linux.observe(Scope()) == before


@pytest.mark.root
def test_all_of_a_change_or_nothing(linux: LinuxKernel) -> None:  # noqa: F811
    """Also where the chains are there when the elements are refused."""
    before, after = written(linux, Policy()), written(linux, policy(PAGES[2].world))
    linux.apply(diff(before, {}))
    bad = NftElement("ip", linux.marks.table, "m_to", '"br-x"', "jump c_nowhere")
    with pytest.raises(Refused):
        linux.apply([*diff(after, before), Step(None, bad)])
    assert linux.observe(Scope()) == before


def test_many_elements_are_for_nft() -> None:
    """Their answers would not fit; and so are those whose kinds are not known."""
    one = NftElement("ip", "t", "s_doors", "10.0.0.1 . tcp . 80")
    with pytest.raises(ValueError, match="elements"):
        messages([Step(None, replace(one, item=f"10.0.0.1 . tcp . {n}")) for n in range(MOST + 1)])
    for item in (replace(one, family="bridge"), replace(one, item="02:42:ac:11:00:02")):
        with pytest.raises(ValueError, match=r"family|appear"):
            messages([Step(None, item)])
