"""docker-py, the library most programs use: what it is asked, fairlead does."""

from __future__ import annotations

import gc
import io
import tarfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

import docker
from tests.docker.tidy import Traces
from tests.lab import Daemon

pytestmark = [
    pytest.mark.root,
    # The library forgets to close the connections of exec and attach.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Client = Any  # the library's stubs promise less than it keeps


@pytest.fixture
def client(traces: Traces, daemon: Daemon) -> Iterator[Client]:
    """A client of its own for each test, and no trace after it."""
    made = docker.DockerClient(base_url=f"unix://{daemon.socket}", version="auto")
    yield made
    made.close()
    gc.collect()  # what the library forgot is let go of here, not in another test
    traces.none()


def archive(name: str, content: bytes) -> bytes:
    """Returns a tar archive with one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_run_in_the_foreground(client: Client) -> None:
    """The output comes back; a failure raises with status and stderr."""
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(ContainerError) as failure:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    error: Any = failure.value
    assert (error.exit_status, error.stderr) == (3, b"no\n")


def test_run_what_is_not_there(client: Client) -> None:
    """An unknown image and an unknown program are told apart."""
    with pytest.raises(ImageNotFound):
        client.images.get("nosuch:image")
    with pytest.raises(APIError, match="nosuch") as failure:
        client.containers.run("busybox", ["nosuch"])
    assert failure.value.status_code in (400, 404)


def test_life_of_a_container(client: Client) -> None:
    """Run, look, pause, stop, start, kill, wait, remove."""
    box = client.containers.run("busybox", ["sleep", "1000000"], detach=True, name="box")
    assert box.status == "created"
    box.reload()
    assert (box.status, box.name) == ("running", "box")
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    assert box.top()["Processes"][0][-1] == "sleep 1000000"
    box.stop(timeout=0)
    box.reload()
    assert (box.status, box.attrs["State"]["ExitCode"]) == ("exited", 137)
    box.start()
    box.kill("SIGKILL")
    assert box.wait()["StatusCode"] == 137
    assert [other.name for other in client.containers.list(all=True)] == ["box"]
    box.remove()
    with pytest.raises(NotFound):
        client.containers.get("box")


def test_logs(client: Client) -> None:
    """Past, tail, with times, apart, and as a stream that ends with the container."""
    script = "for i in 1 2 3; do echo line $i; sleep 0.1; done; echo bad >&2"
    box = client.containers.run("busybox", ["sh", "-c", script], detach=True)
    followed = b"".join(box.logs(stream=True, follow=True))
    assert followed == b"line 1\nline 2\nline 3\nbad\n"
    assert box.logs(stdout=True, stderr=False) == b"line 1\nline 2\nline 3\n"
    assert box.logs(stdout=False, stderr=True) == b"bad\n"
    assert box.logs(tail=2) == b"line 3\nbad\n"
    assert box.logs(timestamps=True).startswith(b"20")


def test_exec(client: Client) -> None:
    """Status, output, streams apart, environment, folder and user."""
    box = client.containers.run("busybox", ["sleep", "1000000"], detach=True)
    assert box.exec_run("echo hi") == (0, b"hi\n")
    assert box.exec_run(["sh", "-c", "exit 4"]).exit_code == 4
    found = box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
    assert found.output == (b"out\n", b"err\n")
    words = ["sh", "-c", "echo $COLOUR $PWD $(id -un)"]
    said = box.exec_run(words, environment={"COLOUR": "red"}, workdir="/tmp", user="nobody")
    assert said.output == b"red /tmp nobody\n"
    assert b"".join(box.exec_run("seq 3", stream=True).output) == b"1\n2\n3\n"
    missing = box.exec_run("nosuch")
    assert missing.exit_code in (126, 127)


def test_files(client: Client) -> None:
    """What is put is there, running or not, and comes back as it was."""
    box = client.containers.run("busybox", ["sleep", "1000000"], detach=True)
    assert box.put_archive("/tmp", archive("note", b"words"))
    assert box.exec_run("cat /tmp/note").output == b"words"
    chunks, stat = box.get_archive("/tmp/note")
    assert (stat["name"], stat["size"]) == ("note", 5)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile("note")
        assert member is not None
        assert member.read() == b"words"
    box.stop(timeout=0)
    assert box.put_archive("/tmp", archive("later", b"more"))
    chunks, stat = box.get_archive("/tmp/later")
    assert stat["size"] == len(b"more") == 4
    assert b"more" in b"".join(chunks)
    with pytest.raises(NotFound):
        box.get_archive("/nosuch")


def test_images(client: Client) -> None:
    """Saved, removed, loaded again: the same image, which still runs."""
    image = client.images.get("busybox:latest")
    assert image.tag("spare", "one")
    spare = client.images.get("spare:one")
    assert spare.id == image.id
    saved = b"".join(spare.save(named="spare:one"))
    client.images.remove("spare:one")
    with pytest.raises(ImageNotFound):
        client.images.get("spare:one")
    (loaded,) = client.images.load(saved)
    assert loaded.id == image.id
    assert "spare:one" in loaded.tags
    assert client.containers.run("spare:one", ["echo", "hi"], remove=True) == b"hi\n"
    client.images.remove("spare:one")
    assert "busybox:latest" in [tag for other in client.images.list() for tag in other.tags]


def test_networks(client: Client) -> None:
    """Created with a subnet, connected with address and aliases, listed, pruned."""
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet="10.5.0.0/24", gateway="10.5.0.254")])
    red = client.networks.create("red", driver="bridge", ipam=ipam, labels={"colour": "red"})
    one = client.containers.run("busybox", ["sleep", "1000000"], detach=True, name="one")
    two = client.containers.run(
        "busybox", ["sleep", "1000000"], detach=True, name="two", network="red"
    )
    red.connect(one, ipv4_address="10.5.0.77", aliases=["nick"])
    one.reload()
    shown = one.attrs["NetworkSettings"]["Networks"]
    assert shown["red"]["IPAddress"] == "10.5.0.77"
    assert IPv4Address(shown["bridge"]["IPAddress"]) in IPv4Network("172.17.0.0/16")
    assert two.exec_run("ping -c 1 -W 1 nick").exit_code == 0
    red.reload()
    assert {box.name for box in red.containers} == {"one", "two"}
    red.disconnect(one)
    assert two.exec_run("ping -c 1 -W 1 10.5.0.77").exit_code != 0
    assert [net.name for net in client.networks.list(filters={"label": "colour=red"})] == ["red"]
    with pytest.raises(APIError, match="active endpoints"):
        red.remove()
    two.remove(force=True)
    assert client.networks.prune()["NetworksDeleted"] == ["red"]


def test_published_ports(client: Client) -> None:
    """The library's ways to say them, and how they are shown."""
    box = client.containers.run(
        "busybox",
        ["sleep", "1000000"],
        detach=True,
        ports={"80/tcp": 8080, "53/udp": ("127.0.0.1", 5353), "443/tcp": None},
    )
    box.reload()
    assert {"HostIp": "0.0.0.0", "HostPort": "8080"} in box.ports["80/tcp"]
    assert box.ports["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "5353"}]
    assert int(box.ports["443/tcp"][0]["HostPort"]) > 1024


def test_volumes(client: Client) -> None:
    """What one container writes another reads; a bind is the host's folder."""
    volume = client.volumes.create("shelf")
    mounted = {"shelf": {"bind": "/shelf", "mode": "rw"}}
    words = ["sh", "-c", "echo book >/shelf/one"]
    client.containers.run("busybox", words, volumes=mounted, remove=True)
    said = client.containers.run("busybox", ["cat", "/shelf/one"], volumes=mounted, remove=True)
    assert said == b"book\n"
    volume.remove()
    with pytest.raises(NotFound):
        client.volumes.get("shelf")


def test_events(client: Client) -> None:
    """Past events end where they should; live ones come as they happen."""
    since = time.time()
    live = client.events(decode=True, filters={"type": "container"})
    box = client.containers.run("busybox", ["true"], detach=True)
    box.wait()
    box.remove()
    seen = []
    for event in live:
        seen.append(event["Action"])
        if event["Action"] == "destroy":
            break
    live.close()
    assert seen == ["create", "start", "die", "destroy"]
    past = client.events(decode=True, since=since, until=time.time())
    kinds = [(event["Type"], event["Action"]) for event in past]
    assert [action for kind, action in kinds if kind == "network"] == ["connect", "disconnect"]


def test_attach(client: Client) -> None:
    """What is written to an attached container's input comes out of its output."""
    box = client.containers.create("busybox", ["cat"], stdin_open=True)
    stream = client.api.attach_socket(box.id, {"stdin": 1, "stdout": 1, "stream": 1})
    sock = stream._sock
    box.start()
    sock.sendall(b"words\n")
    frame = b""
    while len(frame) < 8 + 6:
        frame += sock.recv(100)
    assert frame == b"\x01\0\0\0\0\0\0\x06words\n"
    sock.shutdown(1)
    assert box.wait()["StatusCode"] == 0
    stream.close()


def test_stats_and_info(client: Client) -> None:
    """What monitors ask."""
    box = client.containers.run("busybox", ["sleep", "1000000"], detach=True)
    stats = box.stats(stream=False)
    assert "eth0" in stats["networks"]
    assert stats["memory_stats"]["usage"] > 0
    info = client.info()
    assert info["ContainersRunning"] == 1
    assert "bridge" in info["Plugins"]["Network"]
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.52"
