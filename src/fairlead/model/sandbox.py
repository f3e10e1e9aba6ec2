"""Sandboxes: a container's view of the network, and who it is there."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.endpoint import Port, PortRequest


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


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One network namespace of ours. `created` is in nanoseconds since the epoch.

    `publish` is what was asked for, `ports` what is bound while it has a gateway.
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

    @property
    def namespace(self) -> str:
        """The name under which its namespace is pinned."""
        return self.id[:12]
