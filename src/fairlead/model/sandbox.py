"""Sandboxes: a container's view of the network, and who it is there."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.endpoint import Port, PortRequest
from fairlead.model.state import HOST

ADOPTED = "adopted"
"""Where, among the pins, those of namespaces are that somebody else made."""


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """What the engine knows of a container before its namespace is made."""

    id: str
    container: str
    name: str
    hostname: str
    domainname: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host: bool = False
    """It lives in the host's own namespace."""
    exposed: tuple[tuple[str, int], ...] = ()
    project: str = ""
    """Whose it is (Compose): names of its own project come before others' of the same text."""
    free: bool = False
    """No container is in it: it stays until whoever made it removes it."""
    source: str = ""
    """Where the namespace is found that it adopts; empty: one is made."""
    access: bool = False
    """It is the host itself, with its own way into one network that spans hosts."""
    dns_default: bool = False
    """Its name servers are the daemon's usual ones: nobody chose them for it."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One network namespace of ours. `created` is in nanoseconds since the epoch.

    `publish` is what was asked for, `ports` what is bound while it has a gateway.
    One with an `identity` adopted somebody else's namespace, which it found at `source`.
    """

    id: str
    container: str
    name: str
    hostname: str
    domainname: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host: bool = False
    exposed: tuple[tuple[str, int], ...] = ()
    """Protocol and number of the ports that links lead to."""
    created: int = 0
    publish: tuple[PortRequest, ...] = ()
    ports: tuple[Port, ...] = ()
    project: str = ""
    free: bool = False
    source: str = ""
    identity: str = ""
    routed: tuple[int, ...] = ()
    """The IP versions for which the adopted namespace has a way out of its own."""
    access: bool = False
    """It is the host itself, on one network that spans hosts: nobody's container, no user."""
    dns_default: bool = False
    """Its name servers are the daemon's usual ones: nobody chose them for it."""

    @property
    def adopted(self) -> bool:
        """Whether its namespace is somebody else's."""
        return bool(self.identity)

    @property
    def namespace(self) -> str:
        """The name under which its namespace is pinned; the host's has none."""
        if self.access:
            return HOST
        return f"{ADOPTED}/{self.id[:12]}" if self.adopted else self.id[:12]
