"""Images from archives: in, out, and nothing that an archive should not reach."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.model.errors import Invalid, NotFound
from fairlead.runtime.image import Images, Use


def tar(*members: tuple[str, bytes | str]) -> bytes:
    """A tar of files (bytes) and symbolic links (str)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


LAYER = tar(("hello", b"world"))
DIFF_ID = "sha256:" + hashlib.sha256(LAYER).hexdigest()


def config(*diff_ids: str, **more: Any) -> bytes:
    """An image's configuration."""
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05.123456789Z",
         "rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {"Cmd": ["sh"]}, **more}
    ).encode()  # fmt: skip


def saved(*members: tuple[str, bytes | str], **manifest: Any) -> bytes:
    """An archive of one image in Docker's form."""
    listing = {"Config": "c.json", "RepoTags": ["me/app:v1"], "Layers": ["l/layer.tar"]}
    return tar(*members, ("manifest.json", json.dumps([{**listing, **manifest}]).encode()))


GOOD = (("c.json", config(DIFF_ID)), ("l/layer.tar", LAYER))


@pytest.fixture
async def images(tmp_path: Path) -> Images:
    """An empty image store."""
    made = Images(tmp_path / "images")
    await made.open()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes an archive."""

    def write(content: bytes) -> Path:
        path = tmp_path / "archive"
        path.write_bytes(content)
        return path

    return write


Write = Callable[[bytes], Path]


def blobs(images: Images) -> set[str]:
    """The digests of all stored blobs."""
    return {f"sha256:{path.name}" for path in (images.blobs.root / "sha256").iterdir()}


async def nobody(images: Images, name: str) -> None:
    """Remove an image that no container uses."""
    await images.remove(name, used_by=lambda image: ())


async def test_loading(images: Images, file: Write) -> None:
    """An image keeps the id of its configuration, byte for byte, and its name."""
    messages: list[dict[str, object]] = []

    assert await images.load(file(saved(*GOOD)), messages.append) == ["me/app:v1"]
    image = images.get("me/app:v1")
    assert image.id == "sha256:" + hashlib.sha256(config(DIFF_ID)).hexdigest()
    assert (image.layers, image.config["Cmd"]) == ((DIFF_ID,), ["sh"])
    assert image.size_bytes == len(LAYER)
    assert [m["status"] for m in messages] == ["Loading layer"] * 2


@pytest.mark.parametrize("packed", [gzip.compress, lzma.compress], ids=["gz", "xz"])
async def test_loading_what_is_compressed(
    images: Images, file: Write, packed: Callable[[bytes], bytes]
) -> None:
    """A compressed archive, and a compressed layer in one, are the same image."""
    inner = (GOOD[0], ("l/layer.tar", gzip.compress(LAYER, mtime=0)))
    await images.load(file(packed(saved(*inner))))

    assert images.get("me/app:v1").layers == (DIFF_ID,)
    assert images.get("me/app:v1").size_bytes == len(LAYER)


async def test_loading_an_oci_archive(images: Images, file: Write) -> None:
    """The OCI layout in a tar is understood as well."""
    raw = config(DIFF_ID)
    manifest = json.dumps(
        {"config": {"digest": "sha256:" + hashlib.sha256(raw).hexdigest()},
         "layers": [{"digest": DIFF_ID}]}
    ).encode()  # fmt: skip
    entry = {
        "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(),
        "annotations": {"io.containerd.image.name": "docker.io/me/x:1"},
    }
    index = {"manifests": [entry]}
    members = [
        (f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for blob in (raw, manifest, LAYER)
    ]

    assert await images.load(file(tar(*members, ("index.json", json.dumps(index).encode())))) == [
        "me/x:1"
    ]


@pytest.mark.parametrize(
    "archive",
    [
        b"", b"no tar at all", gzip.compress(b"x" * 100, mtime=0)[:-9], tar(("x", b"")),
        tar(("manifest.json", b"{")), tar(("manifest.json", b"[1]")),
        tar(("manifest.json", b"x" * (9 << 20))),
        saved(GOOD[1]),
        saved(GOOD[0]),
        saved(("c.json", b"[]"), GOOD[1]),
        saved(("c.json", config()), GOOD[1]),
        saved(GOOD[0], ("l/layer.tar", b"something else")),
        saved(GOOD[0], ("l/layer.tar", "/etc/passwd")),
        saved(GOOD[0], ("l/layer.tar", "../../../../etc/passwd")),
        saved(GOOD[0], ("l/layer.tar", "layer.tar")),
        saved(*GOOD, Config="../../etc/passwd"),
        saved(*GOOD, Config="/etc/passwd"),
        saved(*GOOD, RepoTags=["NOT/a name"]),
    ],
)  # fmt: skip
async def test_hostile_archives(images: Images, file: Write, archive: bytes) -> None:
    """What is broken, lies about itself or points elsewhere is refused and leaves nothing."""
    path = file(archive)
    with pytest.raises(Invalid):
        await images.load(path)
    await images.open()

    assert images.list() == []
    assert blobs(images) == set()


async def test_a_layer_may_be_a_link_to_another(images: Images, file: Write) -> None:
    """Old archives store a layer they have twice as a link."""
    members = (
        ("c.json", config(DIFF_ID, DIFF_ID)),
        ("l/layer.tar", LAYER),
        ("m/layer.tar", "../l/layer.tar"),
    )
    await images.load(file(saved(*members, Layers=["l/layer.tar", "m/layer.tar"])))

    assert images.get("me/app:v1").layers == (DIFF_ID, DIFF_ID)


async def test_saving_and_loading(images: Images, file: Write, tmp_path: Path) -> None:
    """Several images in one archive come back with their ids and names."""
    await images.load(file(saved(*GOOD)))
    imported = await images.import_(file(gzip.compress(LAYER, mtime=0)), "plain:1")
    await images.tag("me/app:v1", "me/app:v2")
    await images.tag("me/app:v1", "elsewhere:5")
    before = {image.id: set(image.tags) for image in images.list()}
    out = tmp_path / "out"
    await images.save(["me/app", "elsewhere:5", "plain:1"], out)
    for name in ("me/app:v1", "me/app:v2", "elsewhere:5", "plain:1"):
        await nobody(images, name)
    assert (images.list(), blobs(images)) == ([], set())
    names = await images.load(out)

    assert {image.id: set(image.tags) for image in images.list()} == before
    assert sorted(names) == ["elsewhere:5", "me/app:v1", "me/app:v2", "plain:1"]
    await images.save([imported[7:19]], out)
    await nobody(images, "plain:1")
    assert await images.load(out) == [imported]
    with pytest.raises(NotFound, match="No such image: ghost:latest"):
        await images.save(["ghost"], out)


async def test_importing(images: Images, file: Write) -> None:
    """A root file system becomes an image with what the changes say."""
    changes = [
        "CMD httpd -f", 'ENTRYPOINT ["/init", "x"]', "ENV A=1 B='two words'", "ENV A 2",
        "EXPOSE 80 53/udp", "WORKDIR /srv", "USER app", "VOLUME /data /more", 'LABEL a="b c"',
        "STOPSIGNAL SIGINT",
    ]  # fmt: skip
    made = await images.import_(file(LAYER), "plain", changes, "from nowhere")
    image = images.get("plain")

    assert image.id == made
    assert image.config == {
        "Cmd": ["/bin/sh", "-c", "httpd -f"],
        "Entrypoint": ["/init", "x"],
        "Env": ["B=two words", "A=2"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "WorkingDir": "/srv",
        "User": "app",
        "Volumes": {"/data": {}, "/more": {}},
        "Labels": {"a": "b c"},
        "StopSignal": "SIGINT",
    }
    assert (image.comment, image.layers) == ("from nowhere", (DIFF_ID,))
    with pytest.raises(Invalid, match="run is not a valid change command"):
        await images.import_(file(LAYER), "", ["RUN x"])
    with pytest.raises(Invalid, match="Error processing tar file"):
        await images.import_(file(b"junk" * 300))


async def test_telling(images: Images, file: Write) -> None:
    """Inspect and history say what the configuration says."""
    history = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "ADD rootfs"},
        {"created": "2026-01-02T00:00:00Z", "created_by": "CMD sh", "empty_layer": True},
    ]
    await images.load(file(saved(("c.json", config(DIFF_ID, history=history)), GOOD[1])))
    seen = images.inspect("me/app:v1")

    assert seen["RootFS"] == {"Type": "layers", "Layers": [DIFF_ID]}
    assert (seen["RepoTags"], seen["Config"]["Cmd"], seen["Os"]) == (["me/app:v1"], ["sh"], "linux")
    assert [(s["CreatedBy"], s["Size"], s["Tags"]) for s in images.history("me/app:v1")] == [
        ("CMD sh", 0, ["me/app:v1"]), ("ADD rootfs", len(LAYER), None),
    ]  # fmt: skip


async def test_filters(images: Images, file: Write) -> None:
    """Images are filtered as Docker filters them."""
    old = config(DIFF_ID, created="2020-01-01T00:00:00Z")
    await images.load(file(saved(("c.json", old), GOOD[1], RepoTags=["old:1"])))
    await images.load(file(saved(*GOOD, RepoTags=["me/new:1"])))
    await images.import_(file(LAYER), "", ["LABEL k=v"])

    def named(**filters: list[str]) -> list[tuple[str, ...]]:
        return [image.tags for image in images.list(filters)]

    assert named() == [(), ("me/new:1",), ("old:1",)]
    assert named(dangling=["true"]) == [()]
    assert named(dangling=["false"]) == [("me/new:1",), ("old:1",)]
    assert named(reference=["me/*"]) == named(reference=["me/new"]) == [("me/new:1",)]
    assert named(reference=["*:1"]) == [("old:1",)]
    assert named(label=["k=v"]) == named(label=["k"]) == [()]
    assert named(before=["me/new:1"]) == [("old:1",)]
    assert named(since=["old:1"]) == [(), ("me/new:1",)]
    with pytest.raises(Invalid, match="invalid filter 'foo'"):
        named(foo=["x"])


async def test_pruning(images: Images, file: Write) -> None:
    """Only what no container uses goes, and only the nameless unless all is meant."""
    kept = await images.import_(file(LAYER), "kept:1")
    used = await images.import_(file(tar(("a", b"a"))))
    await images.import_(file(tar(("b", b"b"))))
    removed, freed = await images.prune(dangling_only=True, used=[used])

    assert len(removed) == 1
    assert freed > 0
    assert {image.id for image in images.list()} == {kept, used}
    await images.prune(dangling_only=False, used=[])
    assert (images.list(), blobs(images)) == ([], set())


async def test_removing_keeps_what_others_share(images: Images, file: Write) -> None:
    """A layer stays as long as any image has it."""
    await images.import_(file(LAYER), "a:1", ["ENV A=1"])
    await images.import_(file(LAYER), "b:1", ["ENV B=1"])
    await nobody(images, "a:1")

    assert DIFF_ID in blobs(images)
    await nobody(images, "b:1")
    assert blobs(images) == set()


async def test_a_crash_leaves_no_half_blobs(images: Images, file: Write, tmp_path: Path) -> None:
    """What was being written is cleared at the next start, what is whole is kept."""
    made = await images.import_(file(LAYER), "a:1")
    (images.blobs.root / "new-0123").write_bytes(b"half")
    (images.scratch / "work").mkdir()
    (images.blobs.root / "sha256" / ("0" * 64)).write_bytes(b"nobody's")
    again = Images(tmp_path / "images")
    await again.open()

    assert again.get("a:1").id == made
    assert blobs(again) == {made, DIFF_ID}
    assert list(again.blobs.root.glob("new-*")) == list(again.scratch.iterdir()) == []


async def test_users_keep_a_used_image(images: Images, file: Write) -> None:
    """Whoever uses an image is asked by its id."""
    made = await images.import_(file(LAYER), "a:1")
    asked: list[str] = []

    def used_by(image: str) -> list[Use]:
        asked.append(image)
        return []

    await images.remove("a:1", used_by=used_by)
    assert asked == [made]
