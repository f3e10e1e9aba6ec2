"""Settings that are understood and do not have their effect yet, one line each.

A setting that quietly does nothing is worse than an error: each that is given
is told in the log and in `info`.
"""

from __future__ import annotations

from fairlead.cli.config import Config

OVERLAY = "needs the overlay driver, which this version does not have"


def unserved(config: Config) -> list[str]:
    """What was asked for and will not be so."""
    given = {
        "cluster-store": config.cluster_store,
        "cluster-advertise": config.cluster_advertise,
        "cluster-store-opts": config.cluster_store_opts,
    }
    return [f"{key} {OVERLAY}" for key, value in given.items() if value]
