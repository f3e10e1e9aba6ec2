"""What the library tells about networks and sandboxes: values, the same for both of its faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fairlead.model.endpoint import Port
from fairlead.model.state import IPAddress, IPInterface
from fairlead.model.step import Step
from fairlead.plan.explain import plan_lines

__all__ = ["Endpoint", "Event", "Plan", "Port"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox's place in a network, as it is when asked for."""

    id: str
    network: str
    sandbox: str
    interface: str
    """What it is called in the sandbox."""
    mac: str
    addresses: tuple[IPInterface, ...]
    gateways: tuple[IPAddress, ...]
    names: tuple[str, ...]
    """What others on the network call it."""

    @property
    def ipv4(self) -> IPAddress | None:
        """Its IPv4 address, if it has one."""
        return next((a.ip for a in self.addresses if a.version == 4), None)

    @property
    def ipv6(self) -> IPAddress | None:
        """Its IPv6 address, if it has one."""
        return next((a.ip for a in self.addresses if a.version == 6), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the kernel, to be taken or taken. Empty (false) when there is nothing to do."""

    steps: tuple[Step, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The steps as people read them."""
        return plan_lines(self.steps)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    `action` is ``network create``, ``network remove``, ``sandbox create``, ``sandbox adopt``,
    ``sandbox remove``, ``join``, ``leave`` or ``publish``; what it is about is named.
    """

    action: str
    network: str = ""
    sandbox: str = ""
