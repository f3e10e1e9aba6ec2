"""The table of networks whose hosts route to each other: Linux gives it back as written."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from fairlead.firewall import routes
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.nftables import NftChain
from fairlead.model.peer import Peer
from fairlead.model.state import Resource, Scope, state
from fairlead.plan.diff import diff
from fairlead.plan.reasons import SETS, of_nftables
from tests.contract.conftest import MARKS, linux, private_host  # noqa: F401
from tests.driver.test_routed import DB, END, NET, OWN

NEAR = replace(NET, id="0" * 64, options={**NET.options, "fairlead.host_access": "true"})


def peer(number: int) -> Peer:
    """One of many."""
    four, six = ip_address("10.9.0.0") + number, ip_address("fd09::") + number
    return replace(DB, addresses=(ip_interface(f"{four}/16"), ip_interface(f"{six}/64")))


def table(peers: int) -> list[Resource]:
    """All kinds of elements, and many peers."""
    found = [*routes.base(MARKS), *routes.of_network(MARKS, NET), *routes.of_network(MARKS, NEAR)]
    found += routes.of_endpoint(MARKS, NET, END)
    found += routes.of_host(MARKS, END)
    for host in (OWN, ip_address("2001:db8::1")):
        found += routes.of_far_host(MARKS, NET, host)
    for number in range(peers):
        found += routes.of_peer(MARKS, NEAR if number % 2 else NET, peer(256 + number), "eth0")
    return found


@pytest.mark.root
def test_the_table_reads_back_as_written(linux: LinuxKernel) -> None:  # noqa: F811
    """With a thousand peers and with few; at the end it is gone."""
    for want in (state(table(count)) for count in (1000, 3, 4)):
        linux.apply(diff(want, linux.observe(Scope())))
        assert linux.observe(Scope()) == want
    linux.apply(diff({}, linux.observe(Scope())))
    assert not linux.observe(Scope())


def test_a_thousand_peers_are_no_more_rules() -> None:
    """Only elements: what a packet has to pass is the same."""
    few, many = ([r for r in table(count) if isinstance(r, NftChain)] for count in (1, 1000))
    assert few == many


def test_every_rule_has_its_reason() -> None:
    """`fairlead explain` finds words for each rule and each element."""
    chains = [item for item in routes.base(MARKS) if isinstance(item, NftChain)]
    reasons = {of_nftables(chain.name, rule) for chain in chains for rule in chain.rules}
    assert "the policy asks for it" not in reasons
    sets = {item.key[3] for item in routes.base(MARKS) if "set" in type(item).__name__.lower()}
    assert sets <= SETS.keys()
