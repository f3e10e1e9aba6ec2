"""Pulling from a real registry, on the loopback of the test's own network."""

from __future__ import annotations

import asyncio
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.model.errors import Failed, NotFound
from fairlead.runtime import process
from fairlead.runtime.image import Images
from fairlead.runtime.rootfs import Roots
from tests.lab.debian import unpacked

pytestmark = pytest.mark.root

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:5000"}}
{auth}
"""


@pytest.fixture(scope="module")
def program() -> Path:
    """Debian's registry; found before there is only the test's own network."""
    return unpacked("docker-registry") / "usr/bin/docker-registry"


def _serve(program: Path, apart: Path, auth: str = "") -> subprocess.Popen[bytes]:
    config = apart / "registry.yml"
    config.write_text(CONFIG.format(root=apart / "registry", auth=auth))
    log = (apart / "registry.log").open("wb")
    with log:
        served = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    for _ in range(200):
        try:
            urllib.request.urlopen("http://127.0.0.1:5000/", timeout=5).close()
        except OSError:
            time.sleep(0.02)
        else:
            break
    return served


@pytest.fixture
def registry(program: Path, apart: Path) -> Iterator[str]:
    """The address of an empty registry."""
    served = _serve(program, apart)
    yield "127.0.0.1:5000"
    served.terminate()
    served.wait()


@pytest.fixture
async def pushed(registry: str, images: Images, busybox: str, apart: Path) -> str:
    """busybox in the registry, as an OCI image v1 and as Docker's own kind v2; none here."""
    archive = apart / "archive"
    await images.save(["busybox"], archive)
    for tag, kind in (("v1", "oci"), ("v2", "v2s2")):
        done = await process.run(
            ["skopeo", "--insecure-policy", "copy", "--quiet", f"--format={kind}",
             "--dest-tls-verify=false", f"docker-archive:{archive}",
             f"docker://{registry}/me/box:{tag}"],
        )  # fmt: skip
        assert done.code == 0, done.complaint
    await images.remove("busybox", used_by=lambda image: ())
    return f"{registry}/me/box"


def _digest(name: str, tag: str) -> str:
    registry, _, path = name.partition("/")
    kinds = ("docker.distribution.manifest.v2", "oci.image.manifest.v1")
    request = urllib.request.Request(
        f"http://{registry}/v2/{path}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": ", ".join(f"application/vnd.{kind}+json" for kind in kinds)},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


@pytest.mark.parametrize("tag", ["v1", "v2"])
async def test_pulling(pushed: str, images: Images, roots: Roots, tag: str, busybox: str) -> None:
    """Digest, id and content are the registry's, whichever kind of manifest it has."""
    messages: list[dict[str, Any]] = []
    image = await images.pull(f"{pushed}:{tag}", None, messages.append)

    assert image.tags == (f"{pushed}:{tag}",)
    assert image.digests == (f"{pushed}@{_digest(pushed, tag)}",)
    if tag == "v2":
        # Docker's own kind carries the configuration unchanged, and the id is its digest.
        assert image.id == busybox
    said = [message["status"] for message in messages]
    assert said[0] == "Pulling from me/box"
    assert messages[0]["id"] == tag
    assert said[1] == "Pulling fs layer"
    assert "Downloading" in said
    assert said[-4:] == [
        "Download complete", "Pull complete", f"Digest: {_digest(pushed, tag)}",
        f"Status: Downloaded newer image for {pushed}:{tag}",
    ]  # fmt: skip
    root = await roots.mount("c1", image)
    assert (root / "var/www/index.html").read_text() == "hello from busybox\n"
    await roots.remove("c1")


async def test_pulling_again(pushed: str, images: Images) -> None:
    """What is here is not fetched again, and a second tag of it is only a name."""
    first = await images.pull(f"{pushed}:v1")
    messages: list[dict[str, Any]] = []
    await images.pull(f"{pushed}:v1", None, messages.append)
    by_digest = await images.pull(f"{pushed}@{_digest(pushed, 'v1')}")
    local = await images.pull("localhost:5000/me/box:v1", None, messages.append)

    assert messages[2]["status"] == f"Status: Image is up to date for {pushed}:v1"
    assert "Already exists" in [message["status"] for message in messages[3:]]
    assert first.id == by_digest.id == local.id
    assert len(images.list()) == 1


async def test_several_at_once(pushed: str, images: Images) -> None:
    """Pulls of the same blobs at the same time do not disturb each other."""
    await asyncio.gather(*(images.pull(f"{pushed}:{tag}") for tag in ("v1", "v2", "v1")))

    assert {tag for image in images.list() for tag in image.tags} == {
        f"{pushed}:v1",
        f"{pushed}:v2",
    }


async def test_what_is_not_there(pushed: str, images: Images) -> None:
    """A missing tag, repository and registry are told apart in Docker's words."""
    with pytest.raises(NotFound, match=f"manifest for {pushed}:v9 not found: manifest unknown"):
        await images.pull(f"{pushed}:v9")
    with pytest.raises(NotFound, match="not found"):
        await images.pull("127.0.0.1:5000/no/such")
    with pytest.raises(Failed, match=r'^Get "http://127.0.0.1:5001/v2/": .*connection refused'):
        await images.pull("127.0.0.1:5001/x")
    assert images.list() == []


async def test_giving_up(pushed: str, images: Images) -> None:
    """A pull that is cancelled leaves no process, no image and a store that works."""
    for delay in (0.02, 0.08):
        pulling = asyncio.create_task(images.pull(f"{pushed}:v1"))
        await asyncio.sleep(delay)
        pulling.cancel()
        await asyncio.wait([pulling])

    assert (await images.pull(f"{pushed}:v1")).tags == (f"{pushed}:v1",)
    assert list(images.scratch.iterdir()) == []


async def test_passwords(program: Path, apart: Path, images: Images) -> None:
    """The right password opens, any other is denied, and no process shows it."""
    users = apart / "users"
    # "me" with "s3cret", by bcrypt.
    users.write_text("me:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n")
    served = _serve(program, apart, f"auth: {{htpasswd: {{realm: test, path: {users}}}}}")
    try:
        with pytest.raises(NotFound, match=r"^manifest for 127\.0\.0\.1:5000/box:latest not found"):
            await images.pull("127.0.0.1:5000/box", ("me", "s3cret"))
        for auth in (None, ("me", "wrong")):
            with pytest.raises(
                NotFound, match=r"^pull access denied for 127\.0\.0\.1:5000/box, repo"
            ):
                await images.pull("127.0.0.1:5000/box", auth)
    finally:
        served.terminate()
        served.wait()
