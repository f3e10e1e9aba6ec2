"""The version in a path decides what an answer holds."""

from __future__ import annotations

import pytest

from fairlead.api.versions import NEWEST, Version, split
from fairlead.model.errors import Invalid


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.41/networks", Version(1, 41), "/networks"),
        ("/v1.24", Version(1, 24), "/"),
        ("/v1.52/_ping", NEWEST, "/_ping"),
        ("/networks/v1.41", NEWEST, "/networks/v1.41"),
        ("/version", NEWEST, "/version"),
        ("/v1.9x/networks", NEWEST, "/v1.9x/networks"),
    ],
)
def test_the_prefix_is_optional(path: str, version: Version, rest: str) -> None:
    """Without a prefix the newest version is meant."""
    assert split(path) == (version, rest)


def test_versions_out_of_range_are_refused_in_dockers_words() -> None:
    """Clients match these sentences."""
    with pytest.raises(Invalid) as new:
        split("/v1.60/info")
    assert new.value.message == (
        "client version 1.60 is too new. Maximum supported API version is 1.52"
    )
    with pytest.raises(Invalid) as old:
        split("/v1.9/info")
    assert old.value.message.startswith(
        "client version 1.9 is too old. Minimum supported API version is 1.24"
    )
