"""The process itself: it is started once, outlives its daemons and holds what it was given."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import dns.rcode
import pytest
from tests.dataplane.conftest import addresses, descriptors, named, proxy

from fairlead.dataplane.change import DropNames, DropProxy, DropResolver, PointProxy, SetView
from fairlead.dataplane.channel import PROTOCOL
from fairlead.dataplane.client import Dataplane
from fairlead.dns.answer import View
from fairlead.model.errors import Failed, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.dataplane.conftest import Sandbox

    from fairlead.dataplane.change import Change

LOCAL = ip_address("127.0.0.1")
WEB = ip_address("172.18.0.2")
VIEW = View(zones=("n1",))


def paths(tmp_path: Path) -> tuple[Path, Path]:
    """Where the fixture's process has its socket and log."""
    return tmp_path / "dataplane" / "control.sock", tmp_path / "log"


async def test_a_second_daemon_finds_the_same_process(dataplane: Dataplane, tmp_path: Path) -> None:
    """Starting is done once; everybody after that is connected to the same process."""
    pid = (await dataplane.state()).pid
    second = Dataplane(*paths(tmp_path))
    assert not await second.ensure()
    assert (await second.state()).pid == pid
    await second.close()


async def test_many_starts_make_one_process(dataplane: Dataplane, tmp_path: Path) -> None:
    """Daemons that start it at the same moment end up with one."""
    pid = (await dataplane.state()).pid
    await dataplane.stop()
    daemons = [Dataplane(*paths(tmp_path)) for _ in range(3)]
    started = await asyncio.gather(*(daemon.ensure() for daemon in daemons))
    pids = {(await daemon.state()).pid for daemon in daemons}
    assert any(started)
    assert len(pids) == 1
    assert pids != {pid}
    for daemon in daemons:
        await daemon.close()


async def test_it_outlives_its_daemon(
    dataplane: Dataplane, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A daemon that hangs up, or dies, takes no names along; the next one finds them held."""
    await dataplane.apply([named("e1", "web", WEB), sandbox.resolver(VIEW)])
    await dataplane.close()
    assert addresses(await sandbox.ask("web")) == ["172.18.0.2"]

    script = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from fairlead.dataplane.client import Dataplane\n"
        "async def main():\n"
        "    dataplane = Dataplane(pathlib.Path(sys.argv[1]))\n"
        "    await dataplane.state()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(paths(tmp_path)[0])]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == -signal.SIGKILL

    assert addresses(await sandbox.ask("web", tcp=True)) == ["172.18.0.2"]
    state = await dataplane.state()
    assert state.resolvers == {"s1"}
    assert state.names == {"n1": {"e1"}}


async def test_it_leaves_its_callers_session(dataplane: Dataplane) -> None:
    """It has a session and a name of its own, and no terminal or folder of the caller's."""
    pid = (await dataplane.state()).pid
    assert os.getsid(pid) == pid or os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/comm").read_text().strip() == "fairlead-dataplane"[:15]
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")


async def test_the_socket_is_private(dataplane: Dataplane, tmp_path: Path) -> None:
    """Nobody else on the host can connect, see the socket or read the log."""
    path, log = paths(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_it_is_small(dataplane: Dataplane) -> None:
    """It stays when all else ends, so it must not weigh much: under 25 MB when idle."""
    pid = (await dataplane.state()).pid
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 25_000


async def test_sigterm_ends_it(dataplane: Dataplane, tmp_path: Path) -> None:
    """It can be stopped like any other process, and then is simply not there."""
    os.kill((await dataplane.state()).pid, signal.SIGTERM)
    path, _ = paths(tmp_path)
    for _ in range(3000):
        if not path.exists():
            break
        await asyncio.sleep(0.02)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        await dataplane.state()
    assert str(path) in caught.value.hint


async def test_a_killed_process_is_started_anew(dataplane: Dataplane) -> None:
    """After a kill -9 the socket file lies about, and `ensure` starts another process."""
    before = (await dataplane.state()).pid
    noticed = asyncio.create_task(dataplane.gone())
    await asyncio.sleep(0)
    assert not noticed.done()
    os.kill(before, signal.SIGKILL)
    await noticed
    assert await dataplane.ensure()
    assert (await dataplane.state()).pid != before


async def test_an_old_process_is_replaced(
    dataplane: Dataplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that speaks another version's protocol gives way to a new one."""
    before = (await dataplane.state()).pid
    with monkeypatch.context() as newer:
        newer.setattr("fairlead.dataplane.client.PROTOCOL", PROTOCOL + 1)
        assert await dataplane.ensure()
    assert (await dataplane.state()).pid != before


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    """A process that cannot start is an error with its last words."""
    (tmp_path / "file").write_text("")
    broken = Dataplane(tmp_path / "file" / "control.sock")
    with pytest.raises(Unavailable, match=r"did not start: .*Error"):
        await broken.ensure()
    unwritable = Dataplane(tmp_path / "control.sock", tmp_path / "nowhere" / "log")
    with pytest.raises(Unavailable, match=r"did not start: .*nowhere/log"):
        await unwritable.ensure()


async def test_a_start_that_takes_too_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is overloaded: nobody waits for ever, and it is no error without words."""
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 1000\n")
    slow.chmod(0o755)
    monkeypatch.setattr("fairlead.dataplane.client.START_SECONDS", 0.5)
    with pytest.raises(Unavailable, match=r"the dataplane did not start within 0\.5 s"):
        await Dataplane(tmp_path / "control.sock").ensure(str(slow))


async def test_wrong_requests_are_errors(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """What cannot be done is an answer, and the connection goes on; what can, is done."""
    with pytest.raises(NotFound, match="nobody"):
        await dataplane.apply([SetView("nobody", VIEW)])
    with pytest.raises(NotFound, match="nothing"):
        await dataplane.apply([PointProxy("nothing", WEB, 80)])
    with pytest.raises(Failed):
        await dataplane.apply([proxy("p", "sctp", WEB, 1, sandbox.tcp)])
    await dataplane.apply([DropResolver("nobody"), DropProxy("nothing"), DropNames("n1", "e1")])
    await dataplane.apply([])
    state = await dataplane.state()
    assert (state.resolvers, state.proxies, state.names) == (frozenset(), (), {})


async def test_an_error_leaves_nothing_open(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """A change that fails in the middle: those before it stand, and no descriptor is left."""
    await dataplane.apply([named("e1", "web", WEB)])
    state = await dataplane.state()
    before = descriptors(state.pid)
    good = sandbox.resolver(VIEW)
    null = os.open(os.devnull, os.O_RDONLY)
    used = socket.socket()
    used.bind(("127.0.0.1", 0))
    wrong: list[Sequence[Change]] = [
        [SetView("nobody", VIEW), good],
        [proxy("p", "sctp", WEB, 1, sandbox.tcp), good],
        [replace(good, udp=null), good],
        [replace(good, tcp=null), good],
        # Serving a datagram socket as a stream fails after all of them were taken.
        [replace(good, tcp=good.udp), good],
        [proxy("p", "tcp", WEB, 1, sandbox.udp), good],
        [replace(proxy("p", "udp", WEB, 1, used), socket=null), good],
    ]
    for changes in wrong:
        with pytest.raises((Failed, NotFound)):
            await dataplane.apply(changes)
        state = await dataplane.state()
        assert (state.resolvers, state.proxies) == (frozenset(), ())
        assert descriptors(state.pid) == before
    os.close(null)
    used.close()

    with pytest.raises(NotFound):
        await dataplane.apply([good, SetView("nobody", VIEW), named("e2", "late", WEB)])
    assert addresses(await sandbox.ask("web")) == [str(WEB)]
    assert (await sandbox.ask("late")).rcode() == dns.rcode.SERVFAIL
    await dataplane.apply([DropResolver("s1")])
    assert descriptors(state.pid) == before


async def test_very_many_at_once(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """More descriptors than one message can carry arrive each where it belongs."""
    pid = (await dataplane.state()).pid
    before = descriptors(pid)
    ports = [socket.socket() for _ in range(300)]
    for port in ports:
        port.bind(("127.0.0.1", 0))
    added = [proxy(f"p{number}", "tcp", WEB, 80, port) for number, port in enumerate(ports)]
    again = [sandbox.resolver(VIEW, f"s{number}") for number in range(300)]
    names = [named(f"e{number}", f"n{number}", WEB) for number in range(5000)]

    await dataplane.apply([*added, *names, *again])

    state = await dataplane.state()
    assert {each.id: each.local for each in state.proxies} == {
        f"p{number}": (LOCAL, port.getsockname()[1]) for number, port in enumerate(ports)
    }
    assert state.resolvers == {f"s{number}" for number in range(300)}
    assert len(state.names["n1"]) == 5000
    assert addresses(await sandbox.ask("n4999")) == [str(WEB)]

    drops = [DropProxy(f"p{number}") for number in range(300)]
    await dataplane.apply([*drops, *(DropResolver(f"s{number}") for number in range(300))])
    assert descriptors(pid) == before
    for port in ports:
        port.close()
