"""The client of serf's RPC, against servers that are no agents, or no longer in their right mind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.gossip.keys import read_key
from fairlead.gossip.rpc import LARGEST_BYTES, Broken, Calls, Listening, Refused
from fairlead.model.errors import Invalid


def pack(*values: Any) -> bytes:
    """Values one after the other."""
    return b"".join(map(msgspec.msgpack.encode, values))


HELLO = pack({"Seq": 1, "Error": ""}, {"Seq": 2, "Error": ""})


@asynccontextmanager
async def server(words: bytes, *, hang_up: bool = True) -> AsyncIterator[int]:
    """Something on a port that says its words to whoever comes; yields the port."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        try:
            await reader.read(1)
            if not hang_up:
                await done.wait()
            await writer.drain()
        except ConnectionError:
            # The client has had enough, which is what is tested.
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        done.set()
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xc1" * 100,
        b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff" + b"x" * 1000,
        pack({"Seq": "one", "Error": ""}),
        pack({"Seq": 7, "Error": ""}),
        pack([1, 2, 3]),
        pack({"Seq": 1, "Error": ""})[:-3],
    ],
)
async def test_garbage_ends_the_connection(words: bytes) -> None:
    """Whatever listens there: a clear end, and no guess at what it meant."""
    async with server(words) as port:
        with pytest.raises(Broken):
            await Calls.open(port, "word")


async def test_noise_ends_the_connection() -> None:
    """The same of random bytes."""
    for _ in range(50):
        async with server(os.urandom(500)) as port:
            with pytest.raises(Broken):
                await Calls.open(port, "word")


async def test_a_message_without_end_is_cut() -> None:
    """Memory is not what a stranger wants."""
    endless = b"\xc6\x7f\xff\xff\xff" + b"x" * (LARGEST_BYTES + 1000)
    async with server(HELLO + endless, hang_up=False) as port:
        calls = await Calls.open(port, "word")
        with pytest.raises(Broken, match="more than"):
            await calls.members()


async def test_a_refusal_is_not_an_end() -> None:
    """What the agent refuses is said in its words; the next question is answered."""
    words = HELLO + pack(
        {"Seq": 3, "Error": "user event exceeds limit"},
        {"Seq": 4, "Error": ""}, {"Members": [{"Name": "x", "Addr": b"1234", "Port": 1}]},
    )  # fmt: skip
    async with server(words) as port:
        calls = await Calls.open(port, "word")
        with pytest.raises(Refused, match="exceeds limit"):
            await calls.event("x", b"y" * 10_000)
        (member,) = await calls.members()
        assert member.addr == b"1234"
        calls.close()


async def test_a_wrong_word_is_refused() -> None:
    """As agents say it."""
    words = pack({"Seq": 1, "Error": ""}, {"Seq": 2, "Error": "Invalid authentication token"})
    async with server(words) as port:
        with pytest.raises(Refused, match="Invalid authentication token"):
            await Calls.open(port, "guess")


async def test_an_answer_to_another_question_is_not_taken() -> None:
    """After it the connection is of no use."""
    words = HELLO + pack({"Seq": 9, "Error": ""}, {"Members": []}, {"Seq": 4, "Error": ""})
    async with server(words, hang_up=False) as port:
        calls = await Calls.open(port, "word")
        with pytest.raises(Broken, match="another command"):
            await calls.members()
        with pytest.raises(Broken, match="closed"):
            await calls.event("x", b"")


async def test_a_question_that_is_given_up_spoils_the_connection() -> None:
    """Its answer may still come, and would be taken for the next one's."""
    async with server(HELLO, hang_up=False) as port:
        calls = await Calls.open(port, "word")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await calls.members()
        with pytest.raises(Broken, match="closed"):
            await calls.members()


async def test_records_come_between_answers() -> None:
    """Events, queries and lines of log by the number of their command; late answers are no news."""
    words = HELLO + pack(
        {"Seq": 4, "Error": ""}, {"Seq": 3, "Error": ""},
        {"Seq": 3, "Error": ""}, {"Event": "user", "LTime": 5, "Name": "jl", "Payload": b"x"},
        {"Seq": 5, "Error": "No pending queries matching ID"},
        {"Seq": 4, "Error": ""}, {"Log": "[WARN] something"},
        {"Seq": 3, "Error": ""}, {"Event": "query", "ID": 7, "LTime": 2, "Name": "q", "Payload": None},
    )  # fmt: skip
    async with server(words) as port:
        listening = await Listening.open(port, "word")
        records = listening.records("*", "WARN")
        seen = [await anext(records) for _ in range(3)]
        with pytest.raises(Broken, match="hung up"):
            await anext(records)
        listening.close()
    assert [(one.event, one.id, one.l_time, one.payload, one.log) for one in seen] == [
        ("user", 0, 5, b"x", ""), ("", 0, 0, None, "[WARN] something"), ("query", 7, 2, None, ""),
    ]  # fmt: skip


def test_a_key_is_itself_or_a_file(tmp_path: Path) -> None:
    """As base64, of a length that AES has; whatever is wrong is said without the key."""
    file = tmp_path / "key"
    for text in ("a2V5" * 8, "AAECAwQFBgcICQoLDA0ODw==", "/" + "A" * 31):
        assert read_key(f" {text}\n") == text
        file.write_text(f"{text}\n")
        assert read_key(str(file)) == text
    for bad in ("", "secret!", "c2VjcmV0", "/no/such/file", str(tmp_path)):
        with pytest.raises(Invalid) as refused:
            read_key(bad)
        assert "secret!" not in refused.value.message
        assert "c2VjcmV0" not in refused.value.message
        assert "base64" in refused.value.hint
