"""nftables tables of our name that are somebody else's."""

from __future__ import annotations

import pytest

from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import Policy
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.nft import Context
from fairlead.model.state import Scope, state
from tests.contract.conftest import linux, private_host  # noqa: F401

pytestmark = pytest.mark.root


def test_a_table_of_somebody_else(linux: LinuxKernel) -> None:  # noqa: F811
    """It is told, is not observed as ours, and so can never be planned away."""
    table = linux.marks.table
    with Context() as nft:
        nft.run(f"add table ip {table}\nadd chain ip {table} c_mine")
        want = state(list(firewall("nftables", linux.marks).resources(Policy())))

        assert linux.strangers(want.keys()) == (("nft", "ip", table),)
        assert linux.observe(Scope()) == {}
        assert "c_mine" in nft.run(f"list table ip {table}")
