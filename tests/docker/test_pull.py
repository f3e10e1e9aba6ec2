"""An image that a registry has: pulled, run, saved and loaded with the docker CLI."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import DEVNULL

import pytest

from tests.docker.stage import eventually
from tests.lab import Daemon, Machine
from tests.lab.debian import unpacked

pytestmark = pytest.mark.root

CONFIG = 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: "127.0.0.1:5000"}\n'
NAME = "127.0.0.1:5000/team/box"


@pytest.fixture
def registry(daemon: Daemon, machine: Machine) -> Iterator[str]:
    """Debian's registry on the machine's own loopback, with one image in it."""
    program = unpacked("docker-registry") / "usr/bin/docker-registry"
    machine.run(["sh", "-c", f"cat > /run/registry.yml <<'END'\n{CONFIG}END\n"])
    served = machine.popen(
        [str(program), "serve", "/run/registry.yml"], stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        answers = ["busybox", "wget", "-qO-", "http://127.0.0.1:5000/v2/"]
        eventually(lambda: machine.run(answers, check=False).returncode == 0)
        daemon.docker("save", "-o", "/run/box.tar", "busybox")
        copy = "skopeo --insecure-policy copy --quiet --dest-tls-verify=false"
        machine.shell(f"{copy} docker-archive:/run/box.tar docker://{NAME}:v1")
        yield f"{NAME}:v1"
    finally:
        served.terminate()
        served.wait()


def test_pull_and_run(daemon: Daemon, registry: str) -> None:
    """The image is fetched, shown with its digest, runs, and goes again."""
    said = daemon.docker("pull", registry).stdout

    assert "Pulling from team/box" in said
    assert f"Status: Downloaded newer image for {registry}" in said
    assert daemon.docker("run", "--rm", registry, "echo", "pulled").stdout == "pulled\n"
    shown = daemon.docker("images", "--digests", "--format", "{{.Repository}} {{.Digest}}").stdout
    assert f"{NAME} sha256:" in shown
    assert f"Untagged: {registry}" in daemon.docker("rmi", registry).stdout


def test_run_fetches_what_is_missing(daemon: Daemon, registry: str) -> None:
    """As docker run does; the second time nothing is fetched."""
    first = daemon.docker("run", "--rm", registry, "echo", "ran")
    second = daemon.docker("run", "--rm", registry, "echo", "ran")

    assert "Unable to find image" in first.stderr
    assert (first.stdout, second.stdout, second.stderr) == ("ran\n", "ran\n", "")


def test_what_a_registry_has(daemon: Daemon, registry: str) -> None:
    """Told without fetching it: its digest, and the machines that it is for."""
    before = daemon.docker("images", "-q").stdout

    shown = daemon.api("GET", f"/distribution/{registry}/json").json

    assert shown["Descriptor"]["digest"].startswith("sha256:")
    assert shown["Descriptor"]["mediaType"].startswith("application/vnd.")
    assert [platform["os"] for platform in shown["Platforms"]] == ["linux"]
    daemon.docker("pull", f"{NAME}@{shown['Descriptor']['digest']}")
    daemon.docker("rmi", f"{NAME}@{shown['Descriptor']['digest']}")
    assert daemon.docker("images", "-q").stdout == before
    missing = daemon.api("GET", f"/distribution/{NAME}:nosuch/json")
    assert missing.status == 404


def test_a_registry_without_tls(
    daemon: Daemon, machine: Machine, registry: str, neighbour: Machine
) -> None:
    """Another machine's is spoken to only if the file says so, and from the reload on."""
    program = unpacked("docker-registry") / "usr/bin/docker-registry"
    where = f"{neighbour.address}:5000"
    config = CONFIG.replace("127.0.0.1:5000", where)
    neighbour.run(["sh", "-c", "cat >/run/registry.yml"], stdin=config)
    served = neighbour.popen(
        [str(program), "serve", "/run/registry.yml"], stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        answers = ["busybox", "wget", "-qO-", f"http://{where}/v2/"]
        eventually(lambda: machine.run(answers, check=False).returncode == 0)
        copy = "skopeo --insecure-policy copy --quiet --dest-tls-verify=false"
        machine.shell(f"{copy} docker-archive:/run/box.tar docker://{where}/team/box:v1")
        pull = ("pull", f"{where}/team/box:v1")
        assert daemon.docker(*pull, check=False).returncode == 1
        settings = f'{{"insecure-registries": ["{neighbour.address}/31"]}}'
        machine.run(["sh", "-c", "cat >/etc/docker/daemon.json"], stdin=settings)
        machine.run(["kill", "-HUP", str(daemon.pid)])
        eventually(lambda: daemon.docker(*pull, check=False).returncode == 0)
        daemon.docker("rmi", pull[1])
    finally:
        served.terminate()
        served.wait()
        machine.run(["rm", "-f", "/etc/docker/daemon.json"])


def test_what_a_registry_does_not_have(daemon: Daemon, registry: str) -> None:
    """The error names the image, and nothing is left of the try."""
    before = daemon.docker("images", "-q").stdout

    done = daemon.docker("pull", f"{NAME}:nosuch", check=False)

    assert done.returncode == 1
    assert "nosuch" in done.stderr
    assert daemon.docker("images", "-q").stdout == before
