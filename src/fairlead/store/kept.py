"""Leases: a key that is made, looked after while a block runs, and taken away at its end.

A block that is cancelled leaves its key to its time: a daemon that stops may be back before
that is over, and what runs on its host meanwhile is not to be taken for dead.

What the stores have differs (leases, sessions, keys that expire); what is done with it
does not: every now and then it is renewed, and whatever came between is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from fairlead.model.errors import FairleadError

BEATS = 3
"""How often a lease is renewed in its time: two may be lost."""
RETRY_SECONDS = 1.0


class Hold(Protocol):
    """A key that goes by itself when nobody renews it."""

    async def make(self) -> None:
        """Write the key, whatever it holds."""

    async def renew(self) -> None:
        """Go on holding it; make it again if the store has it no longer."""

    async def drop(self) -> None:
        """Remove the key, if it is still ours."""


@contextlib.asynccontextmanager
async def kept(hold: Hold, ttl_seconds: float) -> AsyncIterator[None]:
    """Hold a key while the block runs. Raises Away if it cannot be made."""
    await hold.make()
    beating = asyncio.get_running_loop().create_task(_beat(hold, ttl_seconds / BEATS))
    cancelled = False
    try:
        yield
    except asyncio.CancelledError:
        cancelled = True
        raise
    finally:
        beating.cancel()
        # Anything but the cancelling is an error of ours, and is to be seen.
        with contextlib.suppress(asyncio.CancelledError):
            await beating
        # A store that is away forgets the key by itself.
        with contextlib.suppress(FairleadError):
            if not cancelled:
                await hold.drop()


async def _beat(hold: Hold, seconds: float) -> None:
    pause = seconds
    while True:
        await asyncio.sleep(pause)
        try:
            await hold.renew()
            pause = seconds
        except FairleadError:
            # The store is away, or refuses: it is asked again and again.
            pause = min(seconds, RETRY_SECONDS)
