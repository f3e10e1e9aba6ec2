"""What a renderer is: policy in, resources out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fairlead.firewall.policy import BridgePolicy, Habits, LinkPolicy, Policy, PortPolicy
from fairlead.model.marks import Marks
from fairlead.model.state import Resource


class Renderer(Protocol):
    """Turns a policy into the resources of one firewall backend, for one address family.

    What stands for one network, port or link comes by itself, so that a change
    writes only that; `base` is the rest.
    """

    name: str
    version: int
    habits: Habits
    whole: bool
    """Whether `base` speaks of all networks and ports: its chains list them."""

    def base(self, policy: Policy) -> Iterable[Resource]: ...
    def of_bridge(self, bridge: BridgePolicy) -> Iterable[Resource]: ...
    def of_ports(self, ports: Iterable[PortPolicy]) -> Iterable[Resource]: ...
    def of_links(self, links: Iterable[LinkPolicy]) -> Iterable[Resource]: ...


class Firewall:
    """The renderers of a host: one backend, for one or both address families."""

    def __init__(self, marks: Marks, renderers: Iterable[Renderer] = ()) -> None:
        self.marks = marks
        self.renderers = tuple(renderers)
        self.whole = any(renderer.whole for renderer in self.renderers)
        self.backend = next((renderer.name for renderer in self.renderers), "none")

    def resources(self, policy: Policy) -> Iterable[Resource]:
        """All that a policy calls for."""
        for renderer in self.renderers:
            yield from renderer.base(policy)
        for families in policy.bridges.values():
            yield from self.of_bridges(families)
        for ports in policy.ports.values():
            yield from self.of_ports(ports)
        for links in policy.links.values():
            for renderer in self.renderers:
                yield from renderer.of_links(links)

    def of_bridges(self, families: Iterable[BridgePolicy]) -> Iterable[Resource]:
        """What stands for one network."""
        for bridge in families:
            for renderer in self.renderers:
                if renderer.version == bridge.subnet.version:
                    yield from renderer.of_bridge(bridge)

    def of_ports(self, ports: Iterable[PortPolicy]) -> Iterable[Resource]:
        """What stands for the ports of one sandbox."""
        found = tuple(ports)
        for renderer in self.renderers:
            yield from renderer.of_ports(found)
