"""From one firewall to another at start: the new one stands before the old one goes.

In between, nothing would translate the packets of connections through published ports: the host
would take them for its own, know of no such connection, and reset it. While both stand a packet
needs the leave of both, and both decide alike, so nothing is open meanwhile that is not after.

FORWARD's policy outlives us, and where one backend has it the other says the same by a rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.controller import dropping
from fairlead.controller.commit import Committer
from fairlead.model.iptables import FAMILIES, Chain, Policy, Rule
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import HOST, Resource, Scope, State
from fairlead.model.step import Step
from fairlead.plan.diff import diff

BY_IPTABLES = (Chain, Rule, Policy)
BY_NFTABLES = (NftTable, NftSet, NftChain, NftElement)


def raise_walls(committer: Committer, wanted: State) -> None:
    """Write the rules of this backend where the other's stand; those stay for the repair."""
    there = committer.kernel.observe(Scope(namespaces=frozenset({HOST})))
    steps: list[Step] = []
    for family in ("ip", "ip6"):
        new, old = dict(_rules(wanted, family)), dict(_rules(there, family))
        if new and _backends(old) - _backends(new):
            steps += [s for s in diff(new, old) if s.resource.key not in old]
    committer.kernel.apply(steps)


def take_back(committer: Committer) -> None:
    """Let FORWARD pass again by policy where this backend has another way to say what may."""
    ours = {r.version for r in committer.walls.renderers if r.whole}
    spoken = {FAMILIES[version] for version in ours} if committer.host.firewall else set()
    kept = dropping.kept(committer.store)
    for family in sorted(kept - spoken):
        verdict = Policy(family, "filter", "FORWARD", "ACCEPT")
        found = committer.kernel.observe(Scope(frozenset({verdict.key}), frozenset()))
        committer.kernel.apply(diff({verdict.key: verdict}, found))
    dropping.keep(committer.store, kept & spoken)


def _rules(state: State, family: str) -> Iterator[tuple[tuple[str, ...], Resource]]:
    for key, resource in state.items():
        if isinstance(resource, BY_IPTABLES + BY_NFTABLES) and resource.family == family:
            yield key, resource


def _backends(rules: State) -> set[str]:
    return {"iptables" if isinstance(r, BY_IPTABLES) else "nftables" for r in rules.values()}
