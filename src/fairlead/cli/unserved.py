"""Settings that are understood and have no effect here, and what opens doors; one line each.

A setting that quietly does nothing is worse than an error: each that is given
is told in the log and in `info`.
"""

from __future__ import annotations

from fairlead.cli.config import NO_RAW, Config

SWARM = "network-control-plane-mtu is of swarm's control plane, which fairlead does not have"


def unserved(config: Config) -> list[str]:
    """What was asked for and will not be so."""
    swarm = config.network_control_plane_mtu != Config().network_control_plane_mtu
    raw = ["WARNING: DOCKER_INSECURE_NO_IPTABLES_RAW is set"] if NO_RAW else []
    return [*([SWARM] if swarm else []), *raw]
