"""Steps: from one resource to another, and what is done once on the way."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.state import IPAddress, Resource


@dataclass(frozen=True, slots=True)
class ForgetFlows:
    """Drop the kernel's memory of connections with an address, or to a UDP port of the host."""

    address: IPAddress | None = None
    udp_port: int = 0


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell neighbours who has an address now: they may remember somebody else.

    A bridge tells those on it, with the MAC of whoever it is. A link speaks for itself, with
    its own (an empty `mac`), once its other end, a bridge's `port` on the host, is open.
    """

    namespace: str
    link: str
    address: IPAddress
    mac: str = ""
    port: str = ""


Effect = ForgetFlows | Announce
"""What is done once after a step, and never undone."""


@dataclass(frozen=True, slots=True)
class Step:
    """From one resource to another; `None` stands for absence.

    Effects ride on a step: they happen once after it and are never undone.
    """

    before: Resource | None
    after: Resource | None
    then: tuple[Effect, ...] = ()

    @property
    def resource(self) -> Resource:
        """The resource that this step is about."""
        found = self.after if self.after is not None else self.before
        assert found is not None, "a step from nothing to nothing"
        return found

    @property
    def verb(self) -> str:
        if self.before is None:
            return "add"
        return "remove" if self.after is None else "change"

    def undo(self) -> Step:
        """The step back, without its effects."""
        return Step(self.after, self.before)
