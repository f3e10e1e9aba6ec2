"""The port through which the controller meets a kernel, real or fake."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from fairlead.model.state import IPNetwork, Key, Scope, State, Step


class Kernel(Protocol):
    """What can be seen and changed. Every call blocks; one thread makes them all."""

    def observe(self, scope: Scope) -> State:
        """What carries our mark, read afresh. Remembers nothing."""

    def apply(self, steps: Sequence[Step]) -> None:
        """Take steps in order. Removing what is gone already is no error.

        Raises Refused at the first step that the kernel will not take; it names
        the steps that were taken.
        """

    def strangers(self, keys: Collection[Key]) -> tuple[Key, ...]:
        """Those of the keys under which something exists that is not ours."""

    def occupied(self) -> tuple[IPNetwork, ...]:
        """Prefixes that the host already reaches by a route, without our own."""

    def reap(self) -> None:
        """Finish off what `apply` left to die because the kernel is slow to delete it."""
