"""What a member of a cluster needs of its host's controller."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from fairlead.model.endpoint import EndpointRequest
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.state import IPNetwork
from fairlead.model.world import Change, World


class Networks(Protocol):
    """Holds the networks of a host."""

    @property
    def world(self) -> World: ...
    @property
    def promised(self) -> Collection[str]:
        """The ids of what is asked for at the moment and not in the world yet."""

    @property
    def unsealed(self) -> bool:
        """Whether SAs are gone that are not made again before this host is born again."""

    async def learn(self, make: Callable[[World], Change]) -> None:
        """Commit what becomes of the world as it is then."""

    async def leave(self, sandbox: str, network: str) -> None:
        """Take a sandbox off a network."""

    async def open_sandbox(
        self, request: SandboxRequest, joins: Sequence[tuple[str, EndpointRequest]] = ()
    ) -> Sandbox:
        """Make a sandbox with its endpoints."""

    async def close_sandbox(self, sandbox: str) -> None:
        """Leave every network."""

    async def occupied(self) -> Sequence[IPNetwork]:
        """What this host reaches elsewhere, or has given to networks of its own."""

    def warn(self, text: str) -> None:
        """Say something to people."""
