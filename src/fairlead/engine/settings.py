"""What of the daemon's configuration concerns containers."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.engine.defaults import SHM_BYTES
from fairlead.model.container import Ulimit


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults for containers that do not say otherwise."""

    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_gateway: tuple[str, ...] = ()
    """What ``host-gateway`` stands for; empty: the default bridge's own address."""
    log_max_bytes: int = 0
    init: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    shm_size_bytes: int = SHM_BYTES
