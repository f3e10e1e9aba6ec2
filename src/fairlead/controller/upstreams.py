"""The host's name servers, which may change while containers run.

A look a second, not inotify: the file is often a link into another folder, or is
replaced, or lies where notifications do not reach; and one `stat` costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from fairlead.controller import names
from fairlead.controller.serving import RESOLVER, serving
from fairlead.dataplane.change import SetView
from fairlead.dataplane.client import Dataplane
from fairlead.model.errors import Unavailable
from fairlead.model.state import IPAddress
from fairlead.model.world import World

LOOK_SECONDS = 1.0

Stamp = tuple[int, int, int] | None


def upstreams(path: Path) -> tuple[IPAddress, ...]:
    """The servers that a resolv.conf names, without ourselves."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    return tuple(address for address in names.nameservers(text) if str(address) != RESOLVER)


async def changed(path: Path) -> AsyncIterator[tuple[IPAddress, ...]]:
    """The servers, each time that they are others than before."""
    stamp, before = _stamp(path), upstreams(path)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _stamp(path)
        if now == stamp:
            continue
        stamp, found = now, upstreams(path)
        if found != before:
            before = found
            yield found


async def tell(dataplane: Dataplane, world: World, found: tuple[IPAddress, ...]) -> None:
    """Let every sandbox ask these from now on."""
    views = serving(world, found).views
    try:
        await dataplane.apply([SetView(box, view) for box, view in views.items()])
    except Unavailable:
        # Whoever starts it again tells it everything.
        return


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
