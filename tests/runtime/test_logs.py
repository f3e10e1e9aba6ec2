"""Logs: what was said, when, and what comes next."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.runtime import logs
from fairlead.runtime.oci import Oci
from tests.runtime.conftest import Begin, MakeSpec

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def line(number: int, text: str, mark: str = "F", stream: str = "stdout") -> str:
    """One line of a log, a second later for each number."""
    at = (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{at}.123456789+00:00 {stream} {mark} {text}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three lines, the second said in two pieces, the third on standard error."""
    path = tmp_path / "log"
    path.write_text(
        line(0, "one") + line(1, "two ", "P") + line(1, "more") + line(2, "three", stream="stderr")
    )
    return path


async def read(path: Path, **how: object) -> list[bytes]:
    """The data of every entry."""
    return [entry[2] async for entry in logs.read(path, **how)]  # type: ignore[arg-type]


async def test_entries_have_time_stream_and_data(log: Path) -> None:
    """Times are exact to the microsecond, and pieces of a line have no newline of their own."""
    at = START.replace(microsecond=123456)

    assert [entry async for entry in logs.read(log)] == [
        (at, 1, b"one\n"),
        (at + timedelta(seconds=1), 1, b"two "),
        (at + timedelta(seconds=1), 1, b"more\n"),
        (at + timedelta(seconds=2), 2, b"three\n"),
    ]


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (0, []),
        (1, [b"three\n"]),
        (2, [b"two ", b"more\n", b"three\n"]),
        (3, [b"one\n", b"two ", b"more\n", b"three\n"]),
        (99, [b"one\n", b"two ", b"more\n", b"three\n"]),
    ],
)
async def test_tail_counts_whole_lines(log: Path, tail: int, said: list[bytes]) -> None:
    """A line said in pieces counts once."""
    assert await read(log, tail=tail) == said


async def test_tail_of_a_long_log(tmp_path: Path) -> None:
    """The end of a log of many blocks is exact, even where the text looks like a log."""
    path = tmp_path / "log"
    odd = "2026-01-01T00:00:00Z stdout F x " * 50
    path.write_text("".join(line(n, f"{n} {odd}") for n in range(2000)))
    for count in (1, 39, 40, 41, 1000, 1999, 2000, 2001):
        said = await read(path, tail=count)

        assert [int(text.split()[0]) for text in said] == list(range(2000))[-count:]


async def test_since_and_until(log: Path) -> None:
    """Both ends belong to what is asked for."""
    since, until = START + timedelta(seconds=1), START + timedelta(seconds=1.5)

    assert await read(log, since=since, until=until) == [b"two ", b"more\n"]


async def test_damaged_and_unfinished_lines(log: Path) -> None:
    """A line that is none is passed over, and half a line is not shown."""
    with log.open("ab") as file:
        file.write(b"rubbish\nx stdout F y\n2026-13-45T99:99:99Z stdout F no\n\xff\xfe\n")
        file.write(line(3, "four").encode() + b"2026-01-02T03:04:09Z stdout F hal")

    assert (await read(log))[-2:] == [b"three\n", b"four\n"]


async def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    """A container that never spoke has nothing to show."""
    assert await read(tmp_path / "log") == []


async def test_following(log: Path) -> None:
    """What is written meanwhile arrives line by line, from a fresh file too, until the end."""
    ended = asyncio.Event()
    entries = logs.read(log, tail=1, follow=True, ended=ended)

    async def heard() -> bytes:
        async with asyncio.timeout(90):
            return (await anext(entries))[2]

    assert await heard() == b"three\n"
    with log.open("a") as file:
        file.write(line(3, "four") + line(4, "fi")[:-1])
        file.flush()
        assert await heard() == b"four\n"
        file.write("ve\n")
    assert await heard() == b"five\n"
    log.rename(log.with_suffix(".old"))
    log.write_text(line(5, "new file"))
    assert await heard() == b"new file\n"
    ended.set()
    with pytest.raises(StopAsyncIteration):
        await heard()


async def test_following_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    """The follower may be first, and is not kept waiting by a container that said nothing."""
    path, ended = tmp_path / "log", asyncio.Event()
    async with asyncio.timeout(90):
        first = asyncio.create_task(read(path, follow=True, ended=ended))
        await asyncio.sleep(0.05)
        path.write_text(line(0, "here"))
        await asyncio.sleep(0.05)
        ended.set()

        assert await first == [b"here\n"]
        assert await read(tmp_path / "none", follow=True, ended=ended) == []


@pytest.mark.root
async def test_a_real_log(oci: Oci, spec: MakeSpec, begin: Begin, apart: Path) -> None:
    """What a container says is followed as it comes and is all there at its end."""
    script = "for i in 1 2 3; do echo $i; sleep 0.05; done; echo err >&2; printf end; exit 2"
    await begin(spec("sh", "-c", script))
    ended = asyncio.Event()
    follower = asyncio.create_task(read(apart / "c1" / "log", follow=True, ended=ended))
    assert (await oci.wait("c1")).code == 2
    ended.set()
    said = await follower

    assert sorted(said) == [b"1\n", b"2\n", b"3\n", b"end", b"err\n"]
    assert sorted(await read(apart / "c1" / "log")) == sorted(said)
