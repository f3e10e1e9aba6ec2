"""Real clients on real containers: streams, terminals, files and images, as users have them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import select
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

import docker
from tests.http.served import eventually
from tests.lab import Daemon, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [
    pytest.mark.root,
    # docker-py leaves the sockets of hijacked connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*socket"),
]
# docker-py's types say little that is true of what it returns.
Client = Any
Container = Any
PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon with one image, for all tests of this module."""
    with Machine() as machine, Daemon(machine) as running:
        running.import_busybox()
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """docker-py."""
    connected = docker.DockerClient(
        base_url=f"unix://{daemon.socket}", version="auto", timeout=PATIENCE_SECONDS
    )
    yield connected
    connected.close()


@pytest.fixture
def sleeper(client: Client) -> Iterator[Container]:
    """A container that does nothing for a while."""
    container = client.containers.run("busybox", "sleep 600", detach=True)
    yield container
    container.remove(force=True)


class Terminal:
    """A docker command at a terminal: type, and wait for what it says."""

    def __init__(self, daemon: Daemon, *args: str) -> None:
        command = ["docker", "-H", f"unix://{daemon.socket}", *args]
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execvp(command[0], command)
        self._seen = b""

    def expect(self, text: bytes) -> bytes:
        """Everything up to the text, which is used up by this."""
        while text not in self._seen:
            more = self._read()
            assert more, f"ended without {text!r}: {self._seen!r}"
            self._seen += more
        found, _, self._seen = self._seen.partition(text)
        return found

    def type(self, keys: bytes) -> None:
        """Keys, as the user presses them."""
        os.write(self._fd, keys)

    def end(self) -> int:
        """Its exit code, once it ends by itself."""
        while more := self._read():
            self._seen += more
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bytes:
        ready, _, _ = select.select([self._fd], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more after {self._seen!r}"
        try:
            return os.read(self._fd, 65536)
        except OSError:
            # The kernel's way to say that nobody holds the other end any more.
            return b""


def piped(
    daemon: Daemon, args: Sequence[str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """A docker command between pipes."""
    command = ["docker", "-H", f"unix://{daemon.socket}", *args]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def test_streams_stay_apart_and_the_exit_code_comes_back(daemon: Daemon) -> None:
    """What `run` promises scripts."""
    done = piped(daemon, ["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_output_after_the_end_of_input_arrives(daemon: Daemon) -> None:
    """A half-closed connection is still one to listen to."""
    script = "cat >/dev/null; sleep 0.2; echo late"
    done = piped(daemon, ["run", "-i", "--rm", "busybox", "sh", "-c", script], b"early\n")
    assert (done.returncode, done.stdout) == (0, b"late\n")


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_megabytes_pass_through_unharmed(daemon: Daemon, sleeper: Container, verb: str) -> None:
    """Every byte, in order, whichever way they take."""
    sent = os.urandom(1 << 20) * 16
    way = ["run", "-i", "--rm", "busybox"] if verb == "run" else ["exec", "-i", sleeper.name]
    done = piped(daemon, [*way, "cat"], sent)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


def test_a_terminal_can_be_left_and_taken_up_again(daemon: Daemon) -> None:
    """ctrl-p ctrl-q leaves the shell running; attach finds it as it was."""
    first = Terminal(daemon, "run", "-it", "--name", "tty1", "busybox", "sh")
    first.expect(b"# ")
    first.type(b"MARK=kept; echo set\n")
    first.expect(b"\nset")
    first.type(b"\x10\x11")
    assert first.end() == 0
    again = Terminal(daemon, "attach", "tty1")
    again.type(b"echo is:$MARK; exit 4\n")
    again.expect(b"is:kept")
    assert again.end() == 4
    daemon.docker("rm", "tty1")


@pytest.mark.parametrize(
    ("command", "code"),
    [(["sh", "-c", "exit 7"], 7), (["nosuch"], 127), (["/etc/passwd"], 126)],
)
def test_exec_tells_how_it_ended(
    daemon: Daemon, sleeper: Container, command: list[str], code: int
) -> None:
    """Also when the program could not be started."""
    assert piped(daemon, ["exec", sleeper.name, *command]).returncode == code


def test_exec_at_a_terminal(daemon: Daemon, sleeper: Container) -> None:
    """It has one, it ends with its code, and other keys can leave it."""
    shell = Terminal(daemon, "exec", "-it", sleeper.name, "sh")
    shell.expect(b"# ")
    shell.type(b"tty; exit 3\n")
    shell.expect(b"/dev/pts/")
    assert shell.end() == 3
    left = Terminal(daemon, "exec", "-it", "--detach-keys", "ctrl-a,x", sleeper.name, "sh")
    left.expect(b"# ")
    left.type(b"\x01x")
    left.expect(b"read escape sequence")
    left.end()


def test_a_client_that_is_killed_takes_its_input_with_it(
    daemon: Daemon, sleeper: Container
) -> None:
    """The program sees the end of its input; nothing lingers."""
    command = ["docker", "-H", f"unix://{daemon.socket}", "exec", "-i", sleeper.name]
    with subprocess.Popen(
        [*command, "sh", "-c", "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"up\n"
        killed.kill()
    eventually(lambda: len(sleeper.top()["Processes"]) == 1)


def test_logs_are_followed_to_the_end(daemon: Daemon, client: Client) -> None:
    """All lines, each on its stream, then the end when the container ends."""
    script = "for i in 1 2 3; do echo line$i; echo e$i >&2; sleep 0.1; done"
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True)
    followed = b"".join(container.logs(stream=True, follow=True, stderr=False))
    assert followed == b"line1\nline2\nline3\n"
    assert container.logs(stdout=False) == b"e1\ne2\ne3\n"
    assert container.logs(tail=1) in (b"line3\n", b"e3\n")
    stamped = container.logs(timestamps=True, stderr=False).split()[0].decode()
    assert stamped.startswith(time.strftime("%Y-"))
    assert container.wait()["StatusCode"] == 0
    container.remove()


def test_docker_py_reads_what_programs_say(client: Client) -> None:
    """Output, failure and both streams of an exec."""
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo oops >&2; exit 2"], remove=True)
    assert failed.value.exit_status == 2
    assert "oops" in str(failed.value)


def test_docker_py_execs(sleeper: Container) -> None:
    """With streams apart, and over a socket both ways."""
    done = sleeper.exec_run(["sh", "-c", "echo a; echo b >&2; exit 3"], demux=True)
    assert (done.exit_code, done.output) == (3, (b"a\n", b"b\n"))
    with sleeper.exec_run("cat", stdin=True, socket=True).output._sock as sock:
        sock.sendall(b"hey\n")
        assert sock.recv(100) == b"\x01\0\0\0\0\0\0\x04hey\n"


def test_docker_py_sees_what_a_container_uses_and_holds(daemon: Daemon, sleeper: Container) -> None:
    """Statistics, processes and state follow what is done to it."""
    shown = piped(daemon, ["stats", "--no-stream", "--format", "{{.PIDs}}", sleeper.name])
    assert shown.stdout == b"1\n"
    once = sleeper.stats(stream=False)
    assert once["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert "PID" in sleeper.top()["Titles"]
    sleeper.pause()
    sleeper.reload()
    assert sleeper.status == "paused"
    sleeper.unpause()
    sleeper.rename("renamed")
    sleeper.reload()
    assert sleeper.name == "renamed"


def test_files_go_in_and_out(daemon: Daemon, sleeper: Container) -> None:
    """Through docker-py's archives and docker's cp; export holds them too."""
    chunks, stat = sleeper.get_archive("/etc/passwd")
    archive = b"".join(chunks)
    assert stat["name"] == "passwd"
    assert sleeper.put_archive("/tmp", archive)
    assert sleeper.exec_run("cat /tmp/passwd").output.startswith(b"root:")
    out = piped(daemon, ["cp", f"{sleeper.name}:/tmp/passwd", "-"])
    assert b"root:x:0:0" in out.stdout
    assert piped(daemon, ["cp", "-", f"{sleeper.name}:/home"], archive).returncode == 0
    assert {"Path": "/home/passwd", "Kind": 1} in sleeper.diff()
    assert b"home/passwd" in piped(daemon, ["export", sleeper.name]).stdout
    with pytest.raises(docker.errors.NotFound):
        sleeper.get_archive("/nosuch")


def test_one_connection_serves_many_answers(sleeper: Container) -> None:
    """A streamed answer leaves the connection fit for the next request."""
    for _ in range(20):
        chunks, _ = sleeper.get_archive("/etc/passwd")
        assert b"root:" in b"".join(chunks)


def test_events_are_told_as_they_happen(client: Client) -> None:
    """A life from create to destroy, in order."""
    events = client.events(decode=True, filters={"type": "container"})
    client.containers.run("busybox", "true", remove=True, name="eventful")
    seen: list[str] = []
    while "destroy" not in seen:
        event = next(events)
        if event["Actor"]["Attributes"]["name"] == "eventful":
            seen.append(event["Action"])
    events.close()
    assert [s for s in seen if s != "attach"] == ["create", "start", "die", "destroy"]


def test_images_are_saved_together_and_loaded_again(daemon: Daemon, client: Client) -> None:
    """Every name that was asked for comes back."""
    image = client.images.get("busybox")
    assert image.tag("second", "x")
    saved = piped(daemon, ["save", "busybox", "second:x"]).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
    assert {tag for entry in manifest for tag in entry["RepoTags"]} == {
        "busybox:latest",
        "second:x",
    }
    client.images.remove("second:x")
    loaded = piped(daemon, ["load"], saved).stdout
    assert b"second:x" in loaded
    assert set(client.images.get(image.id).tags) == {"busybox:latest", "second:x"}
    client.images.remove("second:x")


def test_a_pull_that_fails_says_why(daemon: Daemon) -> None:
    """No registry there: an error, and soon."""
    done = piped(daemon, ["pull", "127.0.0.1:9/nothing"])
    assert done.returncode == 1
    assert b"Error response from daemon" in done.stderr


def test_networks_are_joined_and_left(client: Client, sleeper: Container) -> None:
    """With an address and an alias of one's own; inspect on both sides agrees."""
    network = client.networks.create(
        "joined",
        ipam=docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.77.0.0/24")]),
    )
    network.connect(sleeper, ipv4_address="10.77.0.9", aliases=["alias"])
    network.reload()
    assert network.attrs["Containers"][sleeper.id]["IPv4Address"] == "10.77.0.9/24"
    sleeper.reload()
    place = sleeper.attrs["NetworkSettings"]["Networks"]["joined"]
    assert place["IPAddress"] == "10.77.0.9"
    assert "alias" in place["DNSNames"]
    assert b"10.77.0.9" in sleeper.exec_run("ip addr").output
    network.disconnect(sleeper)
    network.remove()


def test_inspect_of_the_command_line_finds_everything(daemon: Daemon, sleeper: Container) -> None:
    """`docker inspect` asks one noun after the other, to the last."""
    found = json.loads(piped(daemon, ["inspect", sleeper.name]).stdout)
    assert found[0]["Id"] == sleeper.id
    missing = piped(daemon, ["inspect", "nosuch"])
    assert b"No such object: nosuch" in missing.stderr
