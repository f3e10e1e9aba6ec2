"""What the configuration says of a cluster: checked as far as that goes without its store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.cli.config import Config
from fairlead.cluster.keyring import secret_of
from fairlead.gossip.keys import read_key
from fairlead.model.errors import Invalid
from fairlead.store.opening import (
    GOSSIP_KEY,
    OVERLAY_KEY,
    Advertised,
    Discovery,
    Place,
    advertised,
    check_library,
    discovery,
    parse,
)

LONGEST_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that this host is to be a member of."""

    url: str
    options: Mapping[str, str]
    place: Place
    discovery: Discovery
    advertised: Advertised | None
    """How others reach this host; None: it is no member, and only looks."""
    secret: bytes | None = field(default=None, repr=False)
    """What keys of encrypted networks come of; None: what is drawn for them."""


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
    if GOSSIP_KEY in options:
        read_key(options[GOSSIP_KEY])
    secret = _secret(options[OVERLAY_KEY]) if OVERLAY_KEY in options else None
    return Cluster(config.cluster_store, options, place, found, told, secret)


def _secret(path: str) -> bytes:
    """What is in the file that keys of encrypted networks come of. Raises Invalid."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST_FILE_BYTES)
    except OSError as error:
        raise Invalid(
            f"{OVERLAY_KEY}: {path} cannot be read: {error.strerror}",
            hint=f"make one: openssl rand -hex 32 >{path}",
        ) from error
    return secret_of(content)
