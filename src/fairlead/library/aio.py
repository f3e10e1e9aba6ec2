"""A host for programs with an event loop. Pairs with plain.py, method for method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import AsyncExitStack, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from fairlead.controller.controller import Controller
from fairlead.controller.maker import NetworkEvent
from fairlead.library.aio_network import AsyncNetworks
from fairlead.library.aio_sandbox import AsyncSandboxes
from fairlead.library.boxes import Boxes
from fairlead.library.opening import cleared, opened
from fairlead.library.values import Event, Plan
from fairlead.model.errors import FairleadError

RETRY_SECONDS = 1.0
NETWORK_EVENTS = {"create": "network create", "destroy": "network remove"}


class Listener(Protocol):
    """Somebody who is told what happens, on the loop; None is the end."""

    def hear(self, event: Event | None) -> None: ...


class AsyncEvents:
    """What happens from now on, one after another, until the host is closed."""

    def __init__(self, told: list[Listener]) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._told = told
        self._told.append(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        found = await self._queue.get()
        if found is None:
            # It stays the end, whoever asks again.
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return found

    def hear(self, event: Event | None) -> None:
        """Take one in; None is the end."""
        self._queue.put_nowait(event)

    def close(self) -> None:
        """Listen no more; whoever iterates comes to the end."""
        if self in self._told:
            self._told.remove(self)
        self.hear(None)


class AsyncHost:
    """The networks and sandboxes of one folder, while this process has it open."""

    def __init__(
        self, stack: AsyncExitStack, folder: Path, controller: Controller, temporary: bool
    ) -> None:
        self.folder = folder
        self._watching = asyncio.create_task(_watch(controller))
        stack.push_async_callback(self._unwatch)
        self._stack = stack
        self._controller = controller
        self._temporary = temporary
        self._closed = False
        self._told: list[Listener] = []
        self._boxes = Boxes(controller, folder / "sandboxes")
        self._boxes.begin()
        self._boxes.listeners.append(self._tell)
        controller.listeners.append(self._heard)
        self.networks = AsyncNetworks(self._boxes)
        self.sandboxes = AsyncSandboxes(self._boxes)

    @property
    def warnings(self) -> list[str]:
        """What could not be had again when the folder was opened."""
        return list(self._controller.warnings)

    def explain(self, ref: str) -> list[str]:
        """Each kernel object that stands for a network or sandbox, and why. Raises NotFound."""
        return self._controller.explain(ref)

    async def repair(self) -> Plan:
        """Put back what others have taken from the host; what that took."""
        return Plan(await self._controller.repair())

    async def plan_repair(self) -> Plan:
        """What a repair would begin with: empty when all is well. Nothing is changed."""
        return Plan(await self._controller.plan_repair())

    def events(self) -> AsyncEvents:
        """Listen: what happens from now on."""
        return AsyncEvents(self._told)

    async def remove_all(self) -> None:
        """Remove every sandbox and every network; adopted namespaces stay as they were."""
        for sandbox in list(self.sandboxes):
            await sandbox.remove()
        for network in list(self.networks):
            await network.remove()

    async def destroy(self) -> None:
        """Remove everything, rules, processes and the folder itself, and close."""
        try:
            await self.remove_all()
            # Whoever watches the process for names would start it again.
            await self._unwatch()
            await self._controller.erase()
        finally:
            await self._close()
        cleared(self.folder)

    async def close(self) -> None:
        """Let go of the folder. What is there goes on, unless it was opened as temporary."""
        if self._closed:
            return
        if self._temporary:
            await self.destroy()
        else:
            await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def _close(self) -> None:
        self._closed = True
        for listener in self._told:
            listener.hear(None)
        await self._stack.aclose()

    async def _unwatch(self) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching

    def _heard(self, news: NetworkEvent) -> None:
        if news.action in NETWORK_EVENTS:
            self._tell(Event(NETWORK_EVENTS[news.action], news.network.name))

    def _tell(self, event: Event) -> None:
        for listener in list(self._told):
            listener.hear(event)


class Opening:
    """A folder about to be opened: awaited, or entered with `async with`."""

    def __init__(
        self, folder: Path, pools: Sequence[tuple[str, int]], firewall: str, temporary: bool
    ) -> None:
        self._folder = folder
        self._pools = pools
        self._firewall = firewall
        self._temporary = temporary
        self._host: AsyncHost | None = None

    def __await__(self) -> Generator[Any, None, AsyncHost]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncHost:
        self._host = await self._open()
        return self._host

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._host is not None, "left without being entered"
        await self._host.close()

    async def _open(self) -> AsyncHost:
        async with AsyncExitStack() as stack:
            controller = await opened(stack, self._folder, self._pools, self._firewall)
            return AsyncHost(stack.pop_all(), self._folder, controller, self._temporary)


def aopen(
    folder: str | PathLike[str],
    *,
    pools: Sequence[tuple[str, int]] = (),
    firewall: str = "iptables",
    temporary: bool = False,
) -> Opening:
    """Open a folder of networks and sandboxes, made if it is not there: `async with aopen(…)`.

    `pools` are where subnets come from that nobody chose, ``[("10.64.0.0/12", 24)]``; the
    `firewall` is iptables or nftables. What is made outlives the process, unless `temporary`:
    then closing removes all of it, and the folder.
    """
    return Opening(Path(folder).absolute(), pools, firewall, temporary)


async def _watch(controller: Controller) -> None:
    """Keep the process for names and ports alive."""
    while True:
        try:
            await controller.watch()
        except FairleadError as error:
            controller.warnings.append(str(error))
            await asyncio.sleep(RETRY_SECONDS)
