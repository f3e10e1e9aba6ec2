"""The firewall backends by the names that users give."""

from __future__ import annotations

from collections.abc import Collection

from fairlead.firewall.iptables import IptablesRenderer
from fairlead.firewall.nftables import NftablesRenderer
from fairlead.firewall.renderer import Firewall
from fairlead.model.marks import Marks

BACKENDS = ("iptables", "nftables")


def firewall(backend: str, marks: Marks, versions: Collection[int] = (4, 6)) -> Firewall:
    """A backend for the address families that it is to judge. KeyError for an unknown name."""
    if backend == "nftables":
        return Firewall(parts=(NftablesRenderer(marks, v) for v in versions))
    if backend == "iptables":
        return Firewall(whole=(IptablesRenderer(marks, v) for v in versions))
    raise KeyError(backend)
