"""The firewall backends by the names that users give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from fairlead.firewall.iptables import IptablesRenderer
from fairlead.firewall.nftables import NftablesRenderer
from fairlead.firewall.policy import Habits
from fairlead.firewall.renderer import Firewall, Renderer
from fairlead.model.marks import Marks

RENDERERS: Mapping[str, Callable[[Marks, int, Habits], Renderer]] = {
    "iptables": IptablesRenderer,
    "nftables": NftablesRenderer,
}
USUAL = Habits()
BACKENDS = tuple(RENDERERS)


def firewall(
    backend: str, marks: Marks, versions: Collection[int] = (4, 6), habits: Habits = USUAL
) -> Firewall:
    """A backend for the address families that it is to judge. KeyError for an unknown name."""
    renderer = RENDERERS[backend]
    return Firewall(marks, (renderer(marks, version, habits) for version in versions))
