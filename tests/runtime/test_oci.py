"""Containers as a user sees them: what runs, what it prints, how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from fairlead.model.container import (
    ContainerSpec,
    Exit,
    Limits,
    Mount,
    MountKind,
    Ulimit,
)
from fairlead.model.errors import Conflict, Failed, Invalid, NotFound
from fairlead.runtime import process
from fairlead.runtime.bpf import ANNOTATION
from fairlead.runtime.command import choose
from fairlead.runtime.host import look
from fairlead.runtime.oci import CannotRun, Oci
from tests.runtime.conftest import Begin, MakeSpec

pytestmark = pytest.mark.root


async def run(oci: Oci, spec: ContainerSpec, given: bytes = b"") -> tuple[Exit, bytes, bytes]:
    """Run to the end with some input."""
    bundle = spec.rootfs.parent / spec.id
    await oci.create(spec, bundle, bundle / "log")
    streams = await oci.attach(spec.id)
    await oci.start(spec.id)
    if given:
        await streams.write(given)
        await streams.close_stdin()
    said = {1: b"", 2: b""}
    async for stream, data in streams:
        said[stream] += data
    await streams.close()
    ended = await oci.wait(spec.id)
    await oci.delete(spec.id)
    return ended, said[1], said[2]


async def test_output_and_exit_code(oci: Oci, spec: MakeSpec) -> None:
    """Both streams arrive apart and whole, and the exit code is the program's."""
    ended, out, err = await run(oci, spec("sh", "-c", "echo out; echo err >&2; exit 7"))

    assert (ended.code, out, err) == (7, b"out\n", b"err\n")


async def test_killed_by_a_signal(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A signal ends a container with 128 and its number, and a second one finds nobody."""
    await begin(spec("sleep", "1000"))
    await oci.kill("c1", signal.SIGKILL)

    assert (await oci.wait("c1")).code == 137
    with pytest.raises(Conflict, match="container c1 is not running"):
        await oci.kill("c1", signal.SIGTERM)


async def test_many_can_wait(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """Everyone who waits is told, before and after the end."""
    await begin(spec("sh", "-c", "sleep 0.1; exit 3"))
    codes = [e.code for e in await asyncio.gather(*(oci.wait("c1") for _ in range(5)))]

    assert [*codes, (await oci.wait("c1")).code] == [3] * 6


async def test_input_ends_when_the_client_says_so(oci: Oci, spec: MakeSpec) -> None:
    """With stdin_once a closed input reaches the program, and what it answers then arrives."""
    ended, out, _ = await run(
        oci, spec("sh", "-c", "cat; echo bye", stdin=True, stdin_once=True), b"hello\n"
    )

    assert (ended.code, out) == (0, b"hello\nbye\n")


async def test_input_stays_open_for_the_next_client(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """Without stdin_once a client may come and go."""
    first = await begin(spec("sh", "-c", "read a; read b; echo $a-$b", stdin=True))
    await first.write(b"one\n")
    await first.close_stdin()
    await first.close()
    second = await oci.attach("c1")
    await second.write(b"two\n")

    assert await second.read() == (1, b"one-two\n")
    await second.close()


async def test_large_streams_arrive_whole(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """Sixteen megabytes through cat are the same sixteen megabytes."""
    sent = os.urandom(1 << 20) * 16
    streams = await begin(spec("cat", stdin=True, stdin_once=True))

    async def feed() -> None:
        await streams.write(sent)
        await streams.close_stdin()

    got = bytearray()
    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        async for _, data in streams:
            got += data

    assert bytes(got) == sent


async def test_two_clients_hear_the_same(oci: Oci, spec: MakeSpec) -> None:
    """Every attachment hears all output."""
    await oci.create(spec("echo", "hi"), Path(spec("x").rootfs.parent, "c1"), None)
    clients = [await oci.attach("c1") for _ in range(2)]
    await oci.start("c1")

    assert [await client.read() for client in clients] == [(1, b"hi\n")] * 2
    for client in clients:
        await client.close()


async def test_terminal(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A terminal has the size it was given and follows a change of it."""
    command = "stty size; while [ $(stty size | tr ' ' x) = 10x20 ]; do sleep 0.02; done; stty size"
    streams = await begin(
        spec("sh", "-c", command, terminal=True, stdin=True, console_size=(10, 20))
    )
    heard = b""
    while b"10 20" not in heard:
        frame = await streams.read()
        assert frame is not None
        heard += frame[1]
    await oci.resize("c1", 33, 44)
    async for stream, data in streams:
        assert stream == 1
        heard += data

    assert heard.split() == [b"10", b"20", b"33", b"44"]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH: unknown'),
        ("/no/such", 127, 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied: unknown'),
        ("/etc", 126, 'exec: "/etc": permission denied: unknown'),
    ],
)
async def test_commands_that_cannot_run(
    oci: Oci, spec: MakeSpec, begin: Begin, command: str, code: int, said: str
) -> None:
    """The message and the exit code are Docker's, and nothing is left of the container."""
    with pytest.raises(CannotRun) as refused:
        await begin(spec(command))
    await oci.delete("c1", force=True)

    assert refused.value.exit_code == code
    assert refused.value.message.endswith("unable to start container process: " + said)


async def test_unknown_user(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A user that the image does not have is refused in Docker's words."""
    with pytest.raises(Failed, match="unable to find user ghost: no matching entries in passwd"):
        await begin(spec("true", user="ghost"))


async def test_who_it_runs_as(oci: Oci, spec: MakeSpec) -> None:
    """An ordinary user has its groups and home, and no capability to use or to inherit."""
    command = "id; echo $HOME $HOSTNAME; grep Cap /proc/self/status"
    _, out, _ = await run(oci, spec("sh", "-c", command, user="www-data", groups=("daemon",)))
    who, places, *caps = out.decode().splitlines()

    assert who == "uid=33(www-data) gid=33(www-data) groups=1(daemon),33(www-data)"
    assert places == "/var/www box"
    assert dict(line.split() for line in caps) == {
        "CapInh:": "0000000000000000",
        "CapPrm:": "0000000000000000",
        "CapEff:": "0000000000000000",
        "CapBnd:": "00000000a80425fb",
        "CapAmb:": "0000000000000000",
    }


async def test_what_root_may(oci: Oci, spec: MakeSpec) -> None:
    """Root has the usual fourteen capabilities, a seccomp filter and hidden kernel files."""
    command = "grep -E 'CapEff|CapInh|^Seccomp:' /proc/self/status; wc -c </proc/interrupts"
    _, out, err = await run(oci, spec("sh", "-c", command + "; echo 1 >/proc/sys/kernel/msgmax"))

    assert out.split() == [
        b"CapInh:", b"0000000000000000", b"CapEff:", b"00000000a80425fb", b"Seccomp:", b"2", b"0",
    ]  # fmt: skip
    assert b"Read-only file system" in err


async def test_privileged(oci: Oci, spec: MakeSpec) -> None:
    """A privileged container has no filter, the host's devices and a writable /sys."""
    command = "grep ^Seccomp: /proc/self/status; ls /dev/kmsg; grep ' /sys sysfs rw' /proc/mounts"
    ended, out, err = await run(oci, spec("sh", "-c", command, privileged=True))

    assert (ended.code, err) == (0, b"")
    assert out.startswith(b"Seccomp:\t0\n/dev/kmsg\n")


async def test_mounts_and_read_only_root(oci: Oci, spec: MakeSpec, apart: Path) -> None:
    """Binds, read-only ones and memory are where they were asked for, children after parents."""
    for name in ("a", "b"):
        (apart / name).mkdir()
        (apart / name / "file").write_text(name)
    mounts = (
        Mount(MountKind.BIND, str(apart / "b"), "/mnt/a/inner", read_only=True),
        Mount(MountKind.VOLUME, str(apart / "a"), "/mnt/a"),
        Mount(MountKind.TMPFS, "", "/memory", options=("size=1m",)),
    )
    (apart / "a" / "inner").mkdir()
    command = "cat /mnt/a/file /mnt/a/inner/file; >/mnt/a/new; >/memory/new; >/mnt/a/inner/x; >/y"
    _, out, err = await run(oci, spec("sh", "-c", command, mounts=mounts, read_only_rootfs=True))

    assert out == b"ab"
    assert (apart / "a" / "new").exists()
    assert [line.split(b":")[-1] for line in err.splitlines()] == [b" Read-only file system"] * 2


async def test_namespaces(oci: Oci, spec: MakeSpec, apart: Path) -> None:
    """The container is in the network namespace of the path, with processes of its own."""
    pin = apart / "net"
    pin.touch()
    script = f"ip link add inside type bridge && mount --bind /proc/self/ns/net {pin}"
    made = await process.run(["unshare", "--net", "sh", "-c", script])
    assert made.code == 0, made.complaint
    try:
        _, out, _ = await run(
            oci, spec("sh", "-c", "ls /sys/class/net; echo $$; hostname", network_namespace=pin)
        )
    finally:
        await process.run(["umount", str(pin)])

    assert out.split() == [b"inside", b"lo", b"1", b"box"]


async def test_limits(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """Limits hold, can be changed while it runs, and a killed glutton is said to be one."""
    hungry = "sleep 0.5; x=$(yes aaaaaaaaaaaaaaaa | head -c 100000000); echo ${#x}"
    await begin(
        spec("sh", "-c", hungry, limits=Limits(memory_bytes=512 << 20, pids=50, nano_cpus=10**9)),
    )
    await oci.update("c1", Limits(memory_bytes=16 << 20))
    ended = await oci.wait("c1")

    assert (ended.code, ended.oom_killed) == (137, True)


async def test_ulimits_and_sysctls(oci: Oci, spec: MakeSpec, apart: Path) -> None:
    """Ulimits and sysctls are set inside only."""
    made = spec(
        "sh", "-c", "ulimit -n; cat /proc/sys/kernel/msgmax",
        ulimits=(Ulimit("nofile", 100, 200),), sysctls=(("kernel.msgmax", "4321"),),
    )  # fmt: skip
    _, out, _ = await run(oci, made)

    assert out.split() == [b"100", b"4321"]
    assert Path("/proc/sys/kernel/msgmax").read_text() != "4321\n"


async def test_init(oci: Oci, spec: MakeSpec) -> None:
    """With init the first process reaps orphans and hands the exit code on."""
    ended, out, _ = await run(
        oci, spec("sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; exit 9", init=True)
    )

    assert out.startswith(b"/sbin/docker-init -- sh -c")
    assert ended.code == 9


async def test_working_directory_is_made(oci: Oci, spec: MakeSpec) -> None:
    """A working directory that the image lacks is there."""
    _, out, _ = await run(oci, spec("pwd", cwd="/some/where"))

    assert out == b"/some/where\n"


async def test_pause_top_and_pids(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A paused container stands still and is listed; force removes it all the same."""
    await begin(spec("sleep", "1000"))
    await oci.pause("c1")
    titles, rows = await oci.top("c1", "-eo pid,stat,args")

    assert titles == ["PID", "STAT", "COMMAND"]
    assert [(int(pid), args) for pid, _, args in rows] == [(oci.pids("c1")[0], "sleep 1000")]
    assert (await oci.state("c1")).status == "paused"
    await oci.delete("c1", force=True)
    with pytest.raises(NotFound, match="No such container: c1"):
        await oci.state("c1")


async def test_a_running_one_is_not_deleted(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """Without force a running container stays; deleting what is gone is no error."""
    await begin(spec("sleep", "1000"))
    with pytest.raises(Conflict):
        await oci.delete("c1")
    assert (await oci.state("c1")).status == "running"
    await oci.delete("c1", force=True)
    await oci.delete("c1", force=True)


async def test_no_descriptor_leaks_in(oci: Oci, spec: MakeSpec) -> None:
    """A program in a container has its three streams and nothing of the daemon's."""
    with socket.socket() as ours:
        ours.set_inheritable(True)
        _, out, _ = await run(oci, spec("sh", "-c", "ls /proc/self/fd"))

    # The fourth is ls's own, on the directory it lists.
    assert out.split() == [b"0", b"1", b"2", b"3"]


async def test_a_name_is_taken_once(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A second container of the same id is refused and the first unharmed."""
    await begin(spec("sleep", "1000"))
    with pytest.raises(Conflict):
        await begin(spec("true"))
    assert (await oci.state("c1")).status == "running"


async def test_smuggled_sysctls_are_refused(oci: Oci, spec: MakeSpec, begin: Begin) -> None:
    """A value cannot carry a second setting with it."""
    with pytest.raises(Invalid, match="invalid sysctl"):
        await begin(spec("true", sysctls=(("kernel.msgmax", "1\nkernel.core_pattern=x"),)))


ORPHANER = """
import asyncio, sys
from pathlib import Path
from fairlead.model.container import ContainerSpec, Process
from fairlead.runtime.oci import Oci

async def main(base, runtime, parent):
    oci = Oci(base / "run", prefer=runtime, cgroup_parent=parent)
    await oci.probe()
    for name, script in (("long", "sleep 1000"), ("short", "sleep 0.3; exit 5")):
        spec = ContainerSpec(name, Process(("sh", "-c", script)), base / "busybox")
        await oci.create(spec, base / name, base / name / "log")
        await oci.start(name)
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


async def test_containers_outlive_a_killed_daemon(oci: Oci, apart: Path, rootfs: Path) -> None:
    """After kill -9 the next daemon finds the living and the exit codes of the dead."""
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANER, str(apart), oci.name, f"/fl-test-{os.getpid()}"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert daemon.stdout is not None
    assert await daemon.stdout.readline() == b"ready\n"
    daemon.kill()
    await daemon.wait()
    await asyncio.sleep(0.6)
    states = {state.id: state.status for state in await oci.recover()}

    assert states == {"long": "running", "short": "stopped"}
    assert (await oci.wait("short")).code == 5
    await oci.kill("long", signal.SIGKILL)
    assert (await oci.wait("long")).code == 137


async def test_a_killed_conmon_is_noticed(
    oci: Oci, spec: MakeSpec, begin: Begin, apart: Path
) -> None:
    """Without its conmon a container cannot be watched, so it is ended and said to be."""
    await begin(spec("sleep", "1000"))
    (pid,) = oci.pids("c1")
    os.kill(int((apart / "c1" / "conmon.pid").read_text()), signal.SIGKILL)

    assert (await oci.wait("c1")).code == 137
    for _ in range(3000):
        if not Path(f"/proc/{pid}").exists():
            break
        await asyncio.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


async def test_a_cancelled_create_leaves_nothing(oci: Oci, spec: MakeSpec, apart: Path) -> None:
    """Whoever gives up in the middle gets the place back clean."""
    given_up = 0
    for delay in (0, 0.001, 0.003, 0.01, 0.03):
        making = asyncio.create_task(oci.create(spec("sleep", "1000"), apart / "c1", None))
        await asyncio.sleep(delay)
        making.cancel()
        await asyncio.wait([making])
        given_up += making.cancelled()
        if not making.cancelled():
            # The machine was quicker than the later delays.
            await oci.delete("c1", force=True)

        with pytest.raises(NotFound):
            await oci.state("c1")
    assert given_up


async def test_the_prepared_filter_is_the_runtimes_own(
    oci: Oci, spec: MakeSpec, apart: Path
) -> None:
    """crun is handed the program it would have made itself, byte for byte."""
    if oci.name != "crun":
        pytest.skip("only crun takes a prepared filter")
    await oci.create(spec("sleep", "1"), apart / "c1", None)
    config = json.loads((apart / "c1" / "config.json").read_text())
    handed = base64.b64decode(config["annotations"].pop(ANNOTATION))
    await oci.delete("c1", force=True)
    (apart / "c1" / "config.json").write_text(json.dumps(config))
    (runtime,) = (r for r in await choose(apart / "run", look(), "crun") if r.name == "crun")
    made = await process.run([*runtime.argv, "create", f"--bundle={apart / 'c1'}", "plain"])
    assert made.code == 0, made.complaint
    own = (apart / "run" / "crun" / "plain" / "seccomp.bpf").read_bytes()
    await process.run([*runtime.argv, "delete", "--force", "plain"])

    assert handed == own
