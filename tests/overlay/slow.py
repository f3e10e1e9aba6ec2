"""A way to a store that can be made slow: `python slow.py PORT TO_PORT FILE`, by itself.

What arrives from either side goes on after as many seconds as the file says; without the file at
once. Nothing is held up by what came before it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: Path) -> None:
    """One direction of a connection, up to its end."""
    clock = asyncio.get_running_loop().time
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, piece = await queue.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not piece:
                target.close()
                return
            target.write(piece)

    async def read() -> None:
        while True:
            try:
                piece = await source.read(65536)
            except ConnectionError:
                piece = b""
            wait = float(delay.read_text()) if delay.exists() else 0.0
            queue.put_nowait((clock() + wait, piece))
            if not piece:
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        tasks.create_task(read())


async def main(port: int, to: int, delay: Path) -> None:
    """Serves until it is killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection("127.0.0.1", to)
        except ConnectionError:
            writer.close()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(reader, here, delay))
            tasks.create_task(carry(there, writer, delay))

    server = await asyncio.start_server(serve, "0.0.0.0", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
