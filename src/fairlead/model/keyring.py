"""The keyring: what the hosts of a cluster derive the keys of encrypted networks from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Member:
    """A host that takes part: its number, which is nobody else's, and what it drew at birth.

    It is born again whenever it lost SAs that it was sending by: then all keys between it
    and the others are new, and nothing is ever counted, or replayed, twice under one.
    """

    number: int
    birth: bytes


@dataclass(frozen=True, slots=True)
class Keyring:
    """Three generations of secrets: everybody takes all three, and sends by the middle one.

    `secrets` are those of `generation` - 1, `generation` and `generation` + 1; they are
    empty while they are derived from a file that this host has not read (`origin` says
    which file it has to be).
    """

    generation: int
    since: int
    """When the generation became that: seconds since 1970 by the clock of who did it."""
    secrets: tuple[bytes, ...] = field(repr=False)
    members: Mapping[IPAddress, Member] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = ""
    """A fingerprint of the file's secret; empty when the secrets are in the store."""

    @property
    def id(self) -> str:
        """A host knows one."""
        return "keyring"
