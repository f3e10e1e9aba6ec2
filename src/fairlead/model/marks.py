"""Marks: what tells this engine's kernel objects from everybody else's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Marks:
    """How this engine's objects are told from everybody else's.

    `tag`, eight hex digits, is in the alias of links and in the name of a marker
    chain; `prefix` begins the names of our firewall chains.
    """

    tag: str
    prefix: str = "DOCKER"

    @property
    def alias(self) -> str:
        return f"fairlead:{self.tag}"

    def of_another(self, alias: str) -> bool:
        """Whether an alias is of another engine on this host."""
        return alias.startswith("fairlead:") and not alias.startswith(self.alias)

    @property
    def follows(self) -> str:
        """The alias of a link whose MTU is that of the one it stands on."""
        return f"{self.alias}:follows"

    @property
    def far(self) -> str:
        """The alias of a cable's far end where that is on the host."""
        return f"{self.alias}:far"

    @property
    def dying(self) -> str:
        """The alias of a link that waits to be deleted with others."""
        return f"{self.alias}:dying"

    def lent(self, name: str) -> str:
        """The alias of somebody else's link while it is in a sandbox: what it was called."""
        return f"{self.alias}:lent:{name}"

    def lent_name(self, alias: str) -> str:
        """What a link that is lent was called; empty for all others."""
        start = self.lent("")
        return alias.removeprefix(start) if alias.startswith(start) else ""

    @property
    def group(self) -> int:
        """The link group in which it waits."""
        return int(self.tag, 16) & 0x7FFFFFFF

    @property
    def table(self) -> str:
        """The name of our nftables tables."""
        return "fairlead" if self.prefix == "DOCKER" else f"fairlead-{self.prefix.lower()}"

    @property
    def chain(self) -> str:
        return f"FAIRLEAD-{self.tag}"
