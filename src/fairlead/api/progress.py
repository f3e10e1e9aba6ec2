"""Long work told as it goes: JSON messages in the body of an answer.

What fails before the first message is an ordinary error with its own status.
After that the status is out, so the error is the last message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fairlead.api.answers import JSON, line, stream
from fairlead.http.server import Response
from fairlead.model.errors import FairleadError

Message = dict[str, Any]
Progress = Callable[[dict[str, object]], None]
Work = Callable[[Progress], Awaitable[None]]


def failure(error: FairleadError) -> Message:
    """An error as the last message of a stream."""
    detail: Message = {"message": error.message}
    if error.hint:
        detail["hint"] = error.hint
    return {"errorDetail": detail, "error": error.message}


async def told(work: Work) -> Response:
    """Do the work and answer with what it tells. Raises what fails at once."""
    messages: asyncio.Queue[Message | None] = asyncio.Queue()

    async def run() -> None:
        try:
            await work(messages.put_nowait)
        finally:
            messages.put_nowait(None)

    task = asyncio.create_task(run())
    try:
        first = await messages.get()
        if first is None:
            await task
    except BaseException:
        await _end(task)
        raise
    return stream(_tell(task, messages, first), JSON)


async def _tell(
    task: asyncio.Task[None], messages: asyncio.Queue[Message | None], first: Message | None
) -> AsyncIterator[bytes]:
    try:
        message = first
        while message is not None:
            yield line(message)
            message = await messages.get()
        await task
    except FairleadError as error:
        yield line(failure(error))
    finally:
        await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    """No work goes on for a client that left."""
    task.cancel()
    await asyncio.wait([task])
