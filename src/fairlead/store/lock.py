"""One process for one folder or file: held by a lock, which dies with its holder."""

from __future__ import annotations

import fcntl
import os
from contextlib import AsyncExitStack
from pathlib import Path


def hold(stack: AsyncExitStack, path: Path) -> str | None:
    """Hold a file until the stack ends, with our pid in it; else what its holder wrote there."""
    held = path.open("a+")
    stack.callback(held.close)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        return held.read().strip()
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return None
