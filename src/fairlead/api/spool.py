"""Archives on their way in and out wait in a file, because programs want files.

The file lies in a directory of its own below the data root, which is gone
when the request is over, however it ends.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

BATCH_BYTES = 1 << 20


@contextmanager
def spool(below: Path) -> Iterator[Path]:
    """A path for one archive; everything next to it goes with it."""
    below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=below, prefix="spool-") as directory:
        yield Path(directory) / "archive.tar"


async def fill(path: Path, chunks: AsyncIterable[bytes]) -> int:
    """Write what comes into a file; how much it was, in bytes."""
    total = 0
    with path.open("wb") as file:
        batch = bytearray()
        async for chunk in chunks:
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                total += await asyncio.to_thread(file.write, bytes(batch))
                batch.clear()
        total += await asyncio.to_thread(file.write, bytes(batch))
    return total


async def drain(path: Path) -> AsyncIterator[bytes]:
    """Read a file piece by piece."""
    with path.open("rb") as file:
        while batch := await asyncio.to_thread(file.read, BATCH_BYTES):
            yield batch
