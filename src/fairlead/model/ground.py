"""Ground: which other hosts share a segment with this one, as the kernel would reach them now.

Facts, asked afresh whenever they may have changed; nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Ground:
    """The host's links as far as routes to other hosts stand on them."""

    link: str = ""
    """The one with the address by which other hosts reach this one; empty if none has it."""
    near: Mapping[IPAddress, str] = field(default_factory=dict)
    """Hosts that are reached without a gateway, and through which link."""
    six: frozenset[str] = frozenset()
    """Those of these links on which there is IPv6."""
