"""Long work tells what it does; how it fails depends on how far it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.api.progress import Progress, told
from fairlead.api.spool import drain, fill, spool
from fairlead.http.server import Response
from fairlead.model.errors import Failed, NotFound


async def messages(response: Response) -> list[dict[str, Any]]:
    """The messages in a streamed body."""
    assert not isinstance(response.body, bytes)
    return [json.loads(line) async for line in response.body]


async def test_messages_arrive_in_order() -> None:
    """Everything that was told, then the end."""

    async def work(progress: Progress) -> None:
        progress({"status": "one"})
        await asyncio.sleep(0)
        progress({"status": "two"})

    assert await messages(await told(work)) == [{"status": "one"}, {"status": "two"}]


async def test_a_failure_before_the_first_message_is_an_ordinary_error() -> None:
    """It keeps its status, because none was sent yet."""

    async def work(progress: Progress) -> None:
        raise NotFound("No such image: x:latest")

    with pytest.raises(NotFound):
        await told(work)


async def test_a_failure_after_that_is_the_last_message() -> None:
    """In both of the forms that clients look for."""

    async def work(progress: Progress) -> None:
        progress({"status": "pulling"})
        raise Failed("no space left", hint="prune")

    assert (await messages(await told(work)))[-1] == {
        "errorDetail": {"message": "no space left", "hint": "prune"},
        "error": "no space left",
    }


async def test_a_client_that_leaves_stops_the_work() -> None:
    """Nothing is pulled for nobody."""
    stopped = asyncio.Event()

    async def work(progress: Progress) -> None:
        progress({"status": "pulling"})
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    body: Any = (await told(work)).body
    assert b"pulling" in await anext(body)
    await body.aclose()
    assert stopped.is_set()


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    """Bytes as they come over a connection."""
    for piece in given:
        yield piece


async def test_an_archive_waits_in_a_file_that_goes_away(tmp_path: Path) -> None:
    """What was sent is what is read, and nothing is left of it."""
    content = [b"a" * 700_000, b"b" * 700_000, b"c"]
    with spool(tmp_path / "tmp") as path:
        assert await fill(path, pieces(*content)) == 1_400_001
        assert b"".join([chunk async for chunk in drain(path)]) == b"".join(content)
    assert list((tmp_path / "tmp").iterdir()) == []
