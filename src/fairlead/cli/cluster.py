"""What the configuration says of a cluster: checked as far as that goes without its store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.cli.config import Config
from fairlead.model.errors import Invalid
from fairlead.store.opening import (
    Advertised,
    Discovery,
    Place,
    advertised,
    check_library,
    discovery,
    parse,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that this host is to be a member of."""

    url: str
    options: Mapping[str, str]
    place: Place
    discovery: Discovery
    advertised: Advertised | None
    """How others reach this host; None: it is no member, and only looks."""


def cluster(config: Config) -> Cluster | None:
    """The cluster, or None if there is to be none. Raises Invalid."""
    if not config.cluster_store:
        if config.cluster_advertise:
            raise Invalid(
                "invalid cluster configuration. --cluster-advertise must be accompanied by "
                "--cluster-store configuration"
            )
        return None
    options = config.cluster_store_opts
    place = parse(config.cluster_store, options)
    found = discovery(options)
    check_library(place)
    if place.files is not None:
        place.files.context()
    told = advertised(config.cluster_advertise) if config.cluster_advertise else None
    return Cluster(config.cluster_store, options, place, found, told)
