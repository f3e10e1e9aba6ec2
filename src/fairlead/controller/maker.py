"""Making changes: the one lock, the world as it is, and what a change takes along.

Ports of the host are held before they are promised, names that two have are
warned of, and links that wait to be deleted are deleted together afterwards.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from fairlead.controller import names, ports, requests, upstreams
from fairlead.controller.commit import Committer
from fairlead.controller.ground import Unreached
from fairlead.controller.resume import resume
from fairlead.controller.start import Settings
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Failed, FairleadError
from fairlead.model.network import Network
from fairlead.model.prefixes import PUBLISH_FROM
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.trait import Trait
from fairlead.model.world import Change, Thing, World

M = TypeVar("M", bound="Maker")
P = ParamSpec("P")
T = TypeVar("T")
REAP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class NetworkEvent:
    """Something that happened to a network: create, connect, disconnect, destroy, overlap.

    Or update: it has given a container another address.
    """

    action: str
    network: Network
    container: str = ""
    route: str = ""
    """Of an overlap: where the host's route leads."""


def whole(
    method: Callable[Concatenate[M, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[M, P], Coroutine[Any, Any, T]]:
    """A change that is made to its end, even if whoever asked for it has gone away."""

    @wraps(method)
    async def run(self: M, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(method(self, *args, **kwargs))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    return run


class Maker:
    """Holds the world, and changes it."""

    def __init__(self, committer: Committer, settings: Settings, resolv_conf: Path) -> None:
        self.world = World()
        self.settings = settings
        self.listeners: list[Callable[[NetworkEvent], None]] = []
        self.warnings: list[str] = []
        self.warners: list[Callable[[str], None]] = []
        self.unreached = Unreached(self.warn)
        self.committed: list[Callable[[Change], None]] = []
        """Who hears of every change when it is done."""
        self._committer = committer
        self._resolv_conf = resolv_conf
        self._lock = asyncio.Lock()
        self._changes: set[asyncio.Future[Any]] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._reaping: asyncio.Task[None] | None = None
        self._contested: set[tuple[str, str]] = set()

    async def _finish(self) -> None:
        """Let what was begun come to its end."""
        await asyncio.gather(*self._changes, return_exceptions=True)
        if self._reaper is not None:
            self._reaper.cancel()
            await self._reap(self._reaping)
        elif self._reaping is not None:
            await self._reaping

    async def _commit_sandbox(
        self, box: Sandbox, put: tuple[Thing, ...] = (), drop: tuple[Thing, ...] = ()
    ) -> Sandbox:
        """Commit a sandbox with endpoints that come or go; its ports follow its ways out."""
        after = self.world.after(Change(put=(box, *put), drop=drop))
        old = self.world.sandboxes.get(box.id)
        leads = ports.ways(after, box.id)
        held = None
        if not leads or not box.publish:
            box = replace(box, ports=())
        elif old is None or old.publish != box.publish or leads != ports.ways(self.world, box.id):
            box, held = await self._bind(after, box, leads, ports.pairs(old) if old else ())
        things: tuple[Thing, ...] = (box, *put)
        await self._commit(Change(put=things, drop=drop), held)
        self._warn_of_names([thing for thing in put if isinstance(thing, Endpoint)])
        return box

    async def _bind(
        self, after: World, box: Sandbox, leads: ports.Ways, had: Sequence[ports.Pair]
    ) -> tuple[Sandbox, dict[str, socket.socket]]:
        """Hold the ports that a sandbox is to be published on, as far as it does not yet."""
        way = after.gateway(box.id, min(leads))
        assert way is not None
        default = after.networks[way.network].bridge.host_binding or self.settings.binding
        for request in box.publish if not self._committer.host.firewall else ():
            requests.check_enforced((PUBLISH_FROM,) if request.sources else (), firewall=False)
        wanted, world = box.publish, self.world
        # The port is there before the rules that say who may come to it.
        hold = self._committer.kernel.reserve
        if after.bearing(Trait.CALLED) or any(request.sources for request in wanted):
            hold = partial(hold, deaf=True)
        proxied = self._committer.host.proxy
        try:
            found, held = await self._committer.on_thread(
                lambda: ports.bind(hold, world, wanted, default, leads, had, proxied)
            )
        except Failed as error:
            start = "driver failed programming external connectivity on endpoint"
            raise Failed(
                f"{start} {box.name} ({way.id}): {error.message}", hint=error.hint
            ) from error
        return replace(box, ports=found), held

    async def _commit(self, change: Change, held: dict[str, socket.socket] | None = None) -> None:
        try:
            await self._commit_with(change, self._upstreams(), held)
        finally:
            # Closed twice mostly, which does no harm; kept open, they would hold their ports.
            for sock in (held or {}).values():
                sock.close()

    async def _commit_with(
        self,
        change: Change,
        servers: tuple[IPAddress, ...],
        held: dict[str, socket.socket] | None,
    ) -> None:
        committer = self._committer
        try:
            self.world = await committer.commit(
                self.world,
                change,
                servers,
                held,
                partial(resume, committer, upstreams=servers),
            )
        except FairleadError as error:
            # The dataplane may have heard of it already: tell it again how things are.
            try:
                await resume(committer, self.world, servers)
            except FairleadError as second:
                raise error from second
            raise
        self.unreached.look(self.world, committer.host, change)
        for listener in self.committed:
            listener(change)

    def _upstreams(self) -> tuple[IPAddress, ...]:
        return upstreams.upstreams(self._resolv_conf)

    def _warn_of_names(self, joined: Sequence[Endpoint]) -> None:
        """Say once that a name on a network has holders who may not know of each other."""
        for endpoint in joined:
            for name, text in names.contested(self.world, endpoint):
                if (endpoint.network, name) not in self._contested:
                    self._contested.add((endpoint.network, name))
                    self.warn(text)

    def _tell(self, action: str, net: Network, container: str = "") -> None:
        for listener in self.listeners:
            listener(NetworkEvent(action, net, container))

    def _tell_overlap(self, net: Network, route: str) -> None:
        for listener in self.listeners:
            listener(NetworkEvent("overlap", net, route=route))

    def warn(self, text: str) -> None:
        """Say something to whoever listens, and keep it among the warnings."""
        self._warn(text)
        for listener in self.warners:
            listener(text)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _reap_soon(self) -> None:
        """Links that wait to be deleted are deleted together, when nobody waits for it."""
        if self._reaper is None:
            loop = asyncio.get_running_loop()
            self._reaper = loop.call_later(REAP_SECONDS, self._start_reaping)

    def _start_reaping(self) -> None:
        self._reaper = None
        self._reaping = asyncio.ensure_future(self._reap(self._reaping))

    async def _reap(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            rest = await self._committer.on_thread(self._committer.kernel.reaper)
            # Tens of milliseconds, in which the kernel thread can make what is asked for next.
            await asyncio.get_running_loop().run_in_executor(None, rest)
        except Exception as error:  # noqa: BLE001
            # Nobody waits for this task: whatever it is, it is known from here or not at all.
            why = str(error) or type(error).__name__
            self.warn(f"interfaces that were removed are still there: {why}")
