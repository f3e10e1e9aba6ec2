"""telling: what the dataplane hears of a change, and when.

Sockets go along with what is told, once their namespaces are there. Names and views
need none and can be taken back, so they are told while the kernel is at work.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from fairlead.controller.serving import Serving
from fairlead.dataplane.change import (
    AddProxy,
    AddResolver,
    DropNames,
    DropProxy,
    DropResolver,
    PointProxy,
    PutNames,
    SetView,
)
from fairlead.dataplane.change import Change as DataplaneChange
from fairlead.dataplane.client import Dataplane
from fairlead.model.errors import Unavailable

HEARD_SECONDS = 1.0


@dataclass(slots=True)
class Sockets:
    """Sockets made on the kernel thread, on their way to the dataplane."""

    ports: dict[str, socket.socket] = field(default_factory=dict)
    resolvers: dict[str, tuple[socket.socket, socket.socket, int]] = field(default_factory=dict)

    def close(self) -> None:
        """Close our copies; the dataplane has its own."""
        for held in self.ports.values():
            held.close()
        for udp, tcp, fd in self.resolvers.values():
            udp.close()
            tcp.close()
            os.close(fd)
        self.ports.clear()
        self.resolvers.clear()


class Telling:
    """Changes of names and views on their way to the dataplane."""

    def __init__(self, dataplane: Dataplane, changes: Sequence[DataplaneChange]) -> None:
        self._dataplane = dataplane
        self._done: Future[bool] = Future()
        self.task = asyncio.ensure_future(dataplane.apply(changes))
        self.task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._done.set_result(not task.cancelled() and task.exception() is None)

    def heard(self) -> bool:
        """Whether it has made the changes. Waits a while; for the kernel thread."""
        try:
            return self._done.result(HEARD_SECONDS)
        except TimeoutError:
            return False

    async def take_back(self, changes: Sequence[DataplaneChange]) -> None:
        """Make other changes, if it made these."""
        (failure,) = await asyncio.gather(self.task, return_exceptions=True)
        if failure is None:
            await self._dataplane.apply(changes)


async def shut(dataplane: Dataplane, ports: Collection[str]) -> None:
    """Close ports before their lists go, which say who may come.

    A dataplane that does not answer is told again, and started anew, when the kernel is done.
    """
    if ports:
        with suppress(Unavailable):
            await dataplane.apply([DropProxy(id_) for id_ in ports])


def dataplane_changes(had: Serving, has: Serving, sockets: Sockets) -> list[DataplaneChange]:
    """What the dataplane must do to serve `has` after `had`. Drops come first."""
    changes: list[DataplaneChange] = []
    changes += [DropResolver(box) for box in had.views.keys() - has.views.keys()]
    changes += [DropProxy(id_) for id_ in had.ports.keys() - has.ports.keys()]
    for zone, endpoint in had.names.keys() - has.names.keys():
        changes.append(DropNames(zone, endpoint))
    for (zone, endpoint), entry in has.names.items():
        if had.names.get((zone, endpoint)) != entry:
            changes.append(
                PutNames(
                    zone, endpoint, entry.names, entry.addresses, entry.target, entry.own,
                    entry.project,
                )
            )  # fmt: skip
    for box, view in has.views.items():
        if box in sockets.resolvers:
            udp, tcp, fd = sockets.resolvers[box]
            changes.append(AddResolver(box, view, udp.fileno(), tcp.fileno(), fd))
        elif had.views.get(box) != view:
            changes.append(SetView(box, view))
    for id_, target in has.ports.items():
        if id_ in sockets.ports:
            number = sockets.ports[id_].fileno()
            port = target.port.container_port
            changes.append(AddProxy(id_, target.protocol, target.address, port, number))
        elif had.ports.get(id_) != target:
            changes.append(PointProxy(id_, target.address, target.port.container_port))
    return changes
