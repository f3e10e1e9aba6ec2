"""Further programs in a running container."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from fairlead.model.container import ExecSpec, Process
from fairlead.model.errors import Conflict, Failed
from fairlead.runtime.execution import Exec
from fairlead.runtime.oci import CannotRun, Oci
from tests.runtime.conftest import Begin, MakeSpec

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
async def host(spec: MakeSpec, begin: Begin) -> None:
    """A container to run them in."""
    await begin(
        spec("sleep", "1000", env=("FROM=container", "LEFT=alone"), user="www-data", cwd="/var")
    )


def wanted(*args: str, detach: bool = False, privileged: bool = False, **more: object) -> ExecSpec:
    """A spec for a command."""
    return ExecSpec(Process(args, **more), privileged, detach)  # type: ignore[arg-type]


async def heard(made: Exec) -> dict[int, bytes]:
    """All it says, by stream."""
    assert made.streams is not None
    said = {1: b"", 2: b""}
    async for stream, data in made.streams:
        said[stream] += data
    await made.streams.close()
    return said


async def test_streams_apart_and_exit_code(oci: Oci) -> None:
    """Both streams arrive apart, and the exit code is the program's."""
    made = await oci.exec("c1", "e1", wanted("sh", "-c", "echo out; echo err >&2; exit 3"))

    assert await heard(made) == {1: b"out\n", 2: b"err\n"}
    assert await made.wait() == 3


async def test_it_inherits_the_container(oci: Oci) -> None:
    """User, directory and environment are the container's, with what the exec adds."""
    made = await oci.exec("c1", "e1", wanted("sh", "-c", "id -u; pwd; echo $FROM $LEFT $HOME $X",
                                             env=("FROM=exec", "X=y")))  # fmt: skip

    assert (await heard(made))[1] == b"33\n/var\nexec alone /var/www y\n"


async def test_another_user(oci: Oci) -> None:
    """A user of its own has that user's home, and root the container's capabilities."""
    command = "id -u; echo $HOME; grep -E 'Cap(Inh|Eff)' /proc/self/status"
    made = await oci.exec("c1", "e1", wanted("sh", "-c", command, user="root"))

    assert (await heard(made))[1].split() == [
        b"0", b"/root", b"CapInh:", b"0000000000000000", b"CapEff:", b"00000000a80425fb",
    ]  # fmt: skip


async def test_privileged(oci: Oci) -> None:
    """A privileged exec may do what the container may not."""
    made = await oci.exec(
        "c1", "e1",
        wanted("sh", "-c", "ip link add x type bridge && ip link del x && echo yes", user="0",
               privileged=True),
    )  # fmt: skip

    assert (await heard(made))[1] == b"yes\n"


async def test_input_half_closes(oci: Oci) -> None:
    """The end of input reaches the program, whose answer still arrives."""
    sent = os.urandom(1 << 20) * 4
    made = await oci.exec("c1", "e1", wanted("sh", "-c", "cat; echo done >&2", stdin=True))
    assert made.streams is not None
    streams = made.streams

    async def feed() -> None:
        await streams.write(sent)
        await streams.close_stdin()

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        said = await heard(made)

    assert said == {1: sent, 2: b"done\n"}


async def test_terminal(oci: Oci) -> None:
    """A terminal takes input, one stream of output and new sizes."""
    script = (
        "test -t 0 && until stty size 2>&1 | grep -q '33 44'; do sleep 0.02; done; "
        "read x; echo got $x >&2"
    )
    made = await oci.exec("c1", "e1", wanted("sh", "-c", script, terminal=True, stdin=True))
    assert made.streams is not None
    await made.resize(33, 44)
    await made.streams.write(b"hello\n")

    assert (await heard(made))[1].splitlines() == [b"hello", b"got hello"]
    assert await made.wait() == 0


async def test_detached(oci: Oci) -> None:
    """A detached one has no streams, with or without a terminal, and still an exit code."""
    for terminal in (False, True):
        made = await oci.exec(
            "c1", f"e{terminal}",
            wanted("sh", "-c", "yes | head -c 200000; exit 6", detach=True, terminal=terminal),
        )  # fmt: skip

        assert made.streams is None
        assert await made.wait() == 6


async def test_a_client_that_leaves_does_not_break_it(oci: Oci) -> None:
    """Output after the client has gone is forgotten; the program ends as it would have."""
    made = await oci.exec("c1", "e1", wanted("sh", "-c", "yes | head -c 300000; exit 4"))
    assert made.streams is not None
    await made.streams.read()
    await made.streams.close()

    assert await made.wait() == 4


@pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("/etc/passwd", 126)])
async def test_commands_that_cannot_run(oci: Oci, command: str, code: int) -> None:
    """The message and the exit code are Docker's."""
    with pytest.raises(CannotRun, match="OCI runtime exec failed: exec failed: unable to") as no:
        await oci.exec("c1", "e1", wanted(command))

    assert no.value.exit_code == code


async def test_refusals(oci: Oci) -> None:
    """An unknown user and a container that ended are said to be so."""
    with pytest.raises(Failed, match="unable to find user ghost"):
        await oci.exec("c1", "e1", wanted("true", user="ghost"))
    await oci.kill("c1", signal.SIGKILL)
    await oci.wait("c1")
    with pytest.raises(Conflict, match="is not running"):
        await oci.exec("c1", "e2", wanted("true"))


async def test_it_ends_with_the_container(oci: Oci) -> None:
    """When the container goes, its execs go, and everyone who waits is told."""
    made = await oci.exec("c1", "e1", wanted("sleep", "1000"))
    await oci.delete("c1", force=True)

    assert await made.wait() == 137
    assert await heard(made) == {1: b"", 2: b""}


async def test_kill(oci: Oci) -> None:
    """An exec can be signalled, before and after its end."""
    made = await oci.exec("c1", "e1", wanted("sleep", "1000"))
    await made.kill(signal.SIGKILL)

    assert await made.wait() == 137
    await made.kill(signal.SIGKILL)
    assert await heard(made) == {1: b"", 2: b""}


async def test_many_at_once(oci: Oci) -> None:
    """Ten at the same time keep their output and exit codes apart."""

    async def one(number: int) -> tuple[bytes, int]:
        made = await oci.exec(
            "c1", f"e{number}", wanted("sh", "-c", f"echo {number}; exit {number}")
        )
        return (await heard(made))[1], await made.wait()

    assert await asyncio.gather(*map(one, range(10))) == [
        (f"{number}\n".encode(), number) for number in range(10)
    ]
