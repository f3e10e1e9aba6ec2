"""The table of the tunnels: Linux gives it back as it was written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from fairlead.firewall import tunnels
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.nftables import NftChain
from fairlead.model.state import Scope, state
from fairlead.plan.diff import diff
from fairlead.plan.reasons import SETS, of_nftables
from tests.contract.conftest import MARKS, linux, private_host  # noqa: F401

OWN = ip_address("192.0.2.254")
HOSTS = [ip_address("192.0.2.1") + n for n in range(40)]


@pytest.mark.root
def test_the_table_reads_back_as_written(linux: LinuxKernel) -> None:  # noqa: F811
    """With many networks and hosts of both families; then with fewer; at the end it is gone."""
    full = [*tunnels.base(MARKS, OWN), *tunnels.sealed(MARKS)]
    for vni in (1, 256, 4097, 2**24 - 1):
        full += tunnels.of_network(MARKS, vni, encrypted=vni > 256)
        for host in (*HOSTS, ip_address("2001:db8::1"), ip_address("fd00::a:0:0:1")):
            full += tunnels.of_peer(MARKS, vni, host, encrypted=vni > 256)
    fewer = [*tunnels.base(MARKS, OWN), *tunnels.of_network(MARKS, 256, encrypted=False)]
    six = tunnels.base(MARKS, ip_address("2001:db8::254"))
    sealed = [*six, *tunnels.sealed(MARKS), *tunnels.of_network(MARKS, 256, encrypted=True)]
    for want in map(state, (full, fewer, full, sealed)):
        linux.apply(diff(want, linux.observe(Scope())))
        assert linux.observe(Scope()) == want
    linux.apply(diff({}, linux.observe(Scope())))
    assert not linux.observe(Scope())


def test_every_rule_has_its_reason() -> None:
    """`fairlead explain` finds words for each rule and each element."""
    table = [*tunnels.base(MARKS, OWN), *tunnels.sealed(MARKS)]
    chains = [item for item in table if isinstance(item, NftChain)]
    reasons = {of_nftables(chain.name, rule) for chain in chains for rule in chain.rules}
    assert "the policy asks for it" not in reasons
    assert {**tunnels.SETS, **tunnels.HOSTS}.keys() <= SETS.keys()
