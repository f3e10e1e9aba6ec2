"""Settings that are understood and have no effect here, one line each.

A setting that quietly does nothing is worse than an error: each that is given
is told in the log and in `info`.
"""

from __future__ import annotations

from fairlead.cli.config import Config


def unserved(config: Config) -> list[str]:
    """What was asked for and will not be so."""
    if config.network_control_plane_mtu == Config().network_control_plane_mtu:
        return []
    return ["network-control-plane-mtu is of swarm's control plane, which fairlead does not have"]
