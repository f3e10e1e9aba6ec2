"""A host for programs without an event loop. Pairs with aio.py, method for method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from fairlead.library.aio import AsyncEvents, AsyncHost, aopen
from fairlead.library.loop import Loop
from fairlead.library.plain_network import Networks
from fairlead.library.plain_sandbox import Sandboxes
from fairlead.library.values import Event, Plan


class Events:
    """What happens from now on, one after another, until the host is closed."""

    def __init__(self, awaited: AsyncEvents, loop: Loop) -> None:
        self._awaited = awaited
        self._loop = loop

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        found = self._loop.call(_next(self._awaited))
        if found is None:
            raise StopIteration
        return found

    def close(self) -> None:
        """Listen no more; whoever iterates comes to the end."""
        self._loop.call(_closed(self._awaited))


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
        return Events(self._loop.call(_listen(self._awaited)), self._loop)

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
    temporary: bool = False,
) -> Host:
    """Open a folder of networks and sandboxes, made if it is not there: `with open(…)`.

    `pools` are where subnets come from that nobody chose, ``[("10.64.0.0/12", 24)]``. What is
    made outlives the process, unless `temporary`: then closing removes all of it, and the folder.
    """
    loop = Loop()
    try:
        return Host(loop.call(_awaited(Path(folder), pools, temporary)), loop)
    except BaseException:
        loop.close()
        raise


async def _awaited(folder: Path, pools: Sequence[tuple[str, int]], temporary: bool) -> AsyncHost:
    return await aopen(folder, pools=pools, temporary=temporary)


async def _listen(host: AsyncHost) -> AsyncEvents:
    """On the loop, where events are told."""
    return host.events()


async def _next(events: AsyncEvents) -> Event | None:
    async for event in events:
        return event
    return None


async def _closed(events: AsyncEvents) -> None:
    events.close()
