"""Versions of the API: the optional ``/v1.41`` before a path, and what it means for an answer."""

from __future__ import annotations

import re
from typing import NamedTuple

from fairlead.model.errors import Invalid


class Version(NamedTuple):
    """A version of the Engine API; compares as one expects."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


NEWEST = Version(1, 52)
OLDEST = Version(1, 24)
WIDE_MAC = Version(1, 51)
"""The last in which a container has a MAC address beside those of its endpoints."""

_PREFIX = re.compile(r"/v([0-9]{1,4})\.([0-9]{1,4})(?=/|$)")


def named(path: str) -> bool:
    """Whether a path asks for a version."""
    return _PREFIX.match(path) is not None


def split(path: str) -> tuple[Version, str]:
    """The version that a path asks for (the newest when none) and the rest of the path."""
    found = _PREFIX.match(path)
    if found is None:
        return NEWEST, path
    asked = Version(int(found[1]), int(found[2]))
    if asked > NEWEST:
        raise Invalid(
            f"client version {asked} is too new. Maximum supported API version is {NEWEST}",
            hint=f"set DOCKER_API_VERSION={NEWEST}",
        )
    if asked < OLDEST:
        raise Invalid(
            f"client version {asked} is too old. Minimum supported API version is {OLDEST}, "
            "please upgrade your client to a newer version"
        )
    return asked, path[found.end() :] or "/"
