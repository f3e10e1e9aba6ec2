"""What a renderer is: policy in, resources out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fairlead.firewall.policy import BridgePolicy, LinkPolicy, Policy, PortPolicy
from fairlead.model.state import Resource


class Renderer(Protocol):
    """Turns a policy into the resources of one firewall backend, for one address family."""

    name: str
    version: int

    def resources(self, policy: Policy) -> Iterable[Resource]:
        """All of it."""


class PartRenderer(Renderer, Protocol):
    """A renderer whose resources each stand for one network or port: a change writes only those."""

    def base(self, policy: Policy) -> Iterable[Resource]: ...
    def of_bridge(self, bridge: BridgePolicy) -> Iterable[Resource]: ...
    def of_ports(self, ports: Iterable[PortPolicy]) -> Iterable[Resource]: ...
    def of_links(self, links: Iterable[LinkPolicy]) -> Iterable[Resource]: ...


class Firewall:
    """The renderers of the host: those that write everything anew, and those that write parts."""

    def __init__(self, whole: Iterable[Renderer] = (), parts: Iterable[PartRenderer] = ()) -> None:
        self.whole = tuple(whole)
        self.parts = tuple(parts)

    @property
    def backend(self) -> str:
        """The name of what writes the rules."""
        return next((r.name for r in (*self.whole, *self.parts)), "none")
