"""The host's own way into the cluster's networks: there as long as a network asks for it.

What is missing is made when a network is made or learnt; what could not be made is tried
again now and then. It ends with its network (`fold`), and with this host's membership.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from fairlead.controller import access
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import FairleadError
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.world import World

AGAIN_SECONDS = 5.0


class Boxes(Protocol):
    """What it needs of the controller."""

    @property
    def world(self) -> World: ...
    async def open_sandbox(
        self, request: SandboxRequest, joins: Sequence[tuple[str, EndpointRequest]] = ()
    ) -> Sandbox:
        """Make a sandbox with its endpoints."""

    async def close_sandbox(self, sandbox: str) -> None:
        """Leave every network."""

    def warn(self, text: str) -> None:
        """Say something to people."""


class Access:
    """Puts this host on the networks that it is to have access to."""

    def __init__(
        self, boxes: Boxes, host: str, ready: asyncio.Event, away: Callable[[], bool]
    ) -> None:
        self.due = asyncio.Event()
        """Something has changed: look soon."""
        self._boxes = boxes
        self._host = host
        self._ready = ready
        self._away = away
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Do so; returns only when cancelled."""
        await self._ready.wait()
        while True:
            self.due.clear()
            if not self._away():
                await self._settle()
            later = AGAIN_SECONDS if self._told else None
            try:
                async with asyncio.timeout(later):
                    await self.due.wait()
            except TimeoutError:
                continue

    async def _settle(self) -> None:
        for box in list(access.idle(self._boxes.world)):
            await self._close(box)
        nets = list(access.missing(self._boxes.world))
        self._told = {net.id: self._told[net.id] for net in nets if net.id in self._told}
        for net in nets:
            await self._open(net)

    async def _close(self, box: Sandbox) -> None:
        try:
            await self._boxes.close_sandbox(box.id)
        except (FairleadError, ExceptionGroup) as error:
            # It is closed the next time, or when the daemon starts again.
            self._boxes.warn(f"{box.name}, which is on no network any more, stays: {error}")

    async def _open(self, net: Network) -> None:
        request = access.request(net, self._host)
        try:
            await self._boxes.open_sandbox(request, [(net.id, EndpointRequest())])
        except (FairleadError, ExceptionGroup) as error:
            text = error.message if isinstance(error, FairleadError) else str(error.exceptions[0])
            if net.id not in self._boxes.world.networks:
                # It ended meanwhile.
                return
            if self._told.get(net.id) != text:
                self._told[net.id] = text
                self._boxes.warn(f"this host has no access to network {net.name}: {text}")
        else:
            self._told.pop(net.id, None)
