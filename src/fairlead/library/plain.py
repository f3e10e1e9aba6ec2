"""A host for programs without an event loop. Pairs with aio.py, method for method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from fairlead.library.aio import AsyncHost, Listener, Opening, aopen
from fairlead.library.loop import Loop
from fairlead.library.plain_network import Networks
from fairlead.library.plain_sandbox import Sandboxes
from fairlead.library.values import Event, Plan


class Events:
    """What happens from now on, one after another, until the host is closed."""

    def __init__(self, told: list[Listener]) -> None:
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._told = told
        self._told.append(self)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        found = self._queue.get()
        if found is None:
            # It stays the end, whoever asks again.
            self._queue.put(None)
            raise StopIteration
        return found

    def hear(self, event: Event | None) -> None:
        """Take one in; None is the end."""
        self._queue.put(event)

    def close(self) -> None:
        """Listen no more; whoever iterates comes to the end."""
        if self in self._told:
            self._told.remove(self)
        self.hear(None)


class Host:
    """The networks and sandboxes of one folder, while this process has it open."""

    def __init__(self, awaited: AsyncHost, loop: Loop) -> None:
        self._awaited = awaited
        self._loop = loop
        self.folder = awaited.folder
        self.networks = Networks(awaited._boxes, loop)
        self.sandboxes = Sandboxes(awaited._boxes, loop)

    @property
    def warnings(self) -> list[str]:
        """What could not be had again when the folder was opened."""
        return self._awaited.warnings

    def explain(self, ref: str) -> list[str]:
        """Each kernel object that stands for a network or sandbox, and why. Raises NotFound."""
        return self._awaited.explain(ref)

    def repair(self) -> Plan:
        """Put back what others have taken from the host; what that took."""
        return self._loop.call(self._awaited.repair())

    def plan_repair(self) -> Plan:
        """What a repair would begin with: empty when all is well. Nothing is changed."""
        return self._loop.call(self._awaited.plan_repair())

    def events(self) -> Events:
        """Listen: what happens from now on."""
        return Events(self._awaited._told)

    def remove_all(self) -> None:
        """Remove every sandbox and every network; adopted namespaces stay as they were."""
        self._loop.call(self._awaited.remove_all())

    def destroy(self) -> None:
        """Remove everything, rules, processes and the folder itself, and close."""
        try:
            self._loop.call(self._awaited.destroy())
        finally:
            self._loop.close()

    def close(self) -> None:
        """Let go of the folder. What is there goes on, unless it was opened as temporary."""
        if self._loop.closed:
            return
        try:
            self._loop.call(self._awaited.close())
        finally:
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def open_host(
    folder: str | PathLike[str],
    *,
    pools: Sequence[tuple[str, int]] = (),
    firewall: str = "iptables",
    temporary: bool = False,
) -> Host:
    """Open a folder of networks and sandboxes, made if it is not there: `with open(…)`.

    `pools` are where subnets come from that nobody chose, ``[("10.64.0.0/12", 24)]``; the
    `firewall` is iptables or nftables. What is made outlives the process, unless `temporary`:
    then closing removes all of it, and the folder.
    """
    loop = Loop()
    try:
        opening = aopen(folder, pools=pools, firewall=firewall, temporary=temporary)
        return Host(loop.call(_awaited(opening)), loop)
    except BaseException:
        loop.close()
        raise


async def _awaited(opening: Opening) -> AsyncHost:
    return await opening
