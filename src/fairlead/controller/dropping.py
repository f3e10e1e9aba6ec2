"""dropping: which policies of FORWARD are ours, kept on disk before the kernel is told.

They outlive us, so that whoever starts after us knows what to take back.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.model.iptables import Policy
from fairlead.model.state import Resource
from fairlead.store.sqlite import Store

FACT = "dropping"
"""Families whose FORWARD drops by policy because of us."""


def note(store: Store, resources: Iterable[Resource | None]) -> None:
    """Remember the policies that are about to be set, for the day when they are taken back."""
    ours = {r.family for r in resources if isinstance(r, Policy) and r.verdict == "DROP"}
    if ours:
        keep(store, kept(store) | ours)


def kept(store: Store) -> set[str]:
    """The families whose FORWARD drops because of us."""
    return set(store.load("fact").get(FACT, b"").decode().split())


def keep(store: Store, families: set[str]) -> None:
    """Write down which they are."""
    if families != kept(store):
        store.put("fact", FACT, " ".join(sorted(families)).encode())
