"""What of the daemon's configuration is shown or needed by the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fairlead.controller.shared.membership import Told
from fairlead.controller.shared.seal import Rotated


@dataclass(frozen=True, slots=True)
class Settings:
    """Set once when the daemon is put together. `address_pools` are pairs of base and size."""

    id: str = ""
    data_root: Path = Path("/var/lib/fairlead")
    address_pools: tuple[tuple[str, int], ...] = ()
    firewall_backend: str = "iptables"
    labels: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    debug: bool = False
    cluster: Callable[[], Told] | None = None
    """What there is to say of the cluster that this host is in."""
    rotate: Callable[[], Awaitable[Rotated]] | None = None
    """New keys for that cluster."""
    warnings: tuple[str, ...] = ()
    """What was asked for in the configuration and is not so."""
