"""Holds: addresses that are kept for a container while it does not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Hold:
    """Who an address is kept for.

    A `fixed` one was asked for and is never given to anybody who did not ask
    for it too; any other is given away when nothing else is left.
    """

    container: str
    name: str
    fixed: bool = False


Holds = Mapping[IPAddress, Hold]
