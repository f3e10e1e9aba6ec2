"""The documented rules are the rules, and Linux takes them and gives them back as written."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from fairlead.firewall import guard
from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import policy
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.endpoint import Endpoint
from fairlead.model.state import Scope, state
from fairlead.plan.diff import diff
from tests.contract.conftest import linux, private_host  # noqa: F401
from tests.firewall.pages import FOLDER, PAGES, Page, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_current(page: Page) -> None:
    """docs/firewall says what the renderer does (python -m tests.firewall.pages rewrites it)."""
    assert text(page) == (FOLDER / f"{page.name}.md").read_text()


@pytest.mark.root
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linux_reads_back_what_was_written(page: Page, linux: LinuxKernel) -> None:  # noqa: F811
    """Every rule is in the form in which iptables-save prints it, so that nothing seems changed."""
    walls = firewall("iptables", linux.marks, habits=page.habits)
    want = state(list(walls.resources(policy(page.world))))

    linux.apply(diff(want, {}))

    # What the page's bridges are called is not ours to claim here: they do not exist.
    found = linux.observe(Scope())
    assert {k: v for k, v in found.items() if k[0] == "chain"} == {
        k: v for k, v in want.items() if k[0] == "chain"
    }
    jumps = {k: v for k, v in want.items() if k[0] == "rule" and "POSTROUTING" not in k}
    assert {k: v for k, v in found.items() if k in jumps} == jumps


@pytest.mark.root
def test_tables_read_back_what_was_written(linux: LinuxKernel) -> None:  # noqa: F811
    """From any page's tables to any other's in one go; at the end nothing of them is left."""
    for page in (*PAGES, *reversed(PAGES)):
        walls = firewall("nftables", linux.marks, habits=page.habits)
        want = state(list(walls.resources(policy(page.world))))

        linux.apply(diff(want, linux.observe(Scope())))

        assert linux.observe(Scope()) == want
    place = Endpoint(
        "e",
        "n",
        "b",
        "va",
        "eth0",
        "02:42:0a:09:00:02",
        (ip_interface("10.9.0.2/24"), ip_interface("fd00::2/64")),
    )
    want = state([*guard.base(linux.marks), *guard.of_endpoint(linux.marks, place)])
    linux.apply(diff(want, linux.observe(Scope())))
    assert linux.observe(Scope()) == want
    linux.apply(diff({}, linux.observe(Scope())))
    assert not linux.observe(Scope())
