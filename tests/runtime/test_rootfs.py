"""Roots of containers: made once, written by one, and looked into from outside without harm."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import stat as modes
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.model.container import Mount, MountKind
from fairlead.model.errors import Failed, FairleadError, Forbidden, Invalid, NotFound
from fairlead.runtime.image import Images, Use
from fairlead.runtime.oci import Oci
from fairlead.runtime.rootfs import Place, Roots, get, put, stat
from tests.runtime.conftest import MakeSpec

pytestmark = pytest.mark.root


@pytest.fixture
async def root(roots: Roots, busybox: str) -> AsyncIterator[Path]:
    """The mounted root of one container."""
    yield await roots.mount("c1", busybox)
    await roots.remove("c1")


def tar(*members: tuple[str, bytes, bytes | str]) -> bytes:
    """A tar of members by name, type and content or target."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, str):
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """Content in small pieces, as a network brings it."""
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


async def fetched(place: Place, path: str) -> tarfile.TarFile:
    """The tar of a path."""
    _, chunks = await get(place, path)
    return tarfile.open(fileobj=io.BytesIO(b"".join([chunk async for chunk in chunks])))


async def test_containers_share_an_image_and_nothing_else(
    roots: Roots, busybox: str, images: Images
) -> None:
    """The image is unpacked once however many ask, and what one writes no other sees."""
    first, second = await asyncio.gather(
        roots.mount("c1", busybox), roots.mount("c2", images.get(busybox))
    )
    (first / "mine").write_text("x" * 100)
    (first / "etc" / "passwd").unlink()

    assert (second / "etc" / "passwd").exists()
    assert not (second / "mine").exists()
    assert (await roots.size("c1"), await roots.size("c2")) == (100, 0)
    assert images.roots() == [busybox]
    assert await roots.mount("c1", busybox) == first
    for name in ("c1", "c2", "c2"):
        await roots.remove(name)
    assert images.roots() == [busybox]


async def test_what_is_written_survives_unmounting(roots: Roots, busybox: str) -> None:
    """A stopped container keeps its files; the mode of / is the image's."""
    root = await roots.mount("c1", busybox)
    (root / "kept").write_text("here")
    await roots.unmount("c1")
    assert not (root / "kept").exists()
    root = await roots.mount("c1", busybox)

    assert (root / "kept").read_text() == "here"
    assert modes.S_IMODE(root.stat().st_mode) == 0o755
    await roots.unmount("c1")
    await roots.unmount("c1")
    await roots.remove("c1")


async def test_a_removed_image_stays_under_its_containers(
    roots: Roots, images: Images, busybox: str
) -> None:
    """A root goes with the last container that stands on it, not before."""
    await roots.mount("c1", busybox)
    await roots.unmount("c1")
    await images.remove("busybox", force=True, used_by=lambda image: [Use("c1", False)])
    root = await roots.mount("c1", busybox)

    assert (root / "bin" / "busybox").exists()
    await roots.remove("c1")
    assert images.roots() == []
    with pytest.raises(NotFound):
        await roots.mount("c2", busybox)


async def test_a_crash_while_unpacking_is_repaired(
    roots: Roots, images: Images, busybox: str
) -> None:
    """Half a root is never used: it is not in its place, and is cleared at the next start."""
    task = asyncio.create_task(roots.mount("c1", busybox))
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    assert images.roots() == []
    await images.open()

    assert list(images.scratch.iterdir()) == []
    assert (await roots.mount("c1", busybox) / "bin" / "busybox").exists()
    await roots.remove("c1")


async def test_changes(roots: Roots, busybox: str, root: Path) -> None:
    """Additions, changes and deletions are told apart; what every container gets is not told."""
    (root / "new" / "inner").mkdir(parents=True)
    (root / "new" / "inner" / "file").touch()
    (root / "etc" / "passwd").write_text("changed")
    (root / "etc" / "hosts").touch()
    (root / "bin" / "ls").unlink()
    shutil.rmtree(root / "var")
    (root / "var").mkdir()

    assert await roots.changes("c1", busybox) == [
        ("/bin", 0), ("/bin/ls", 2), ("/etc", 0), ("/etc/passwd", 0), ("/new", 1),
        ("/new/inner", 1), ("/new/inner/file", 1), ("/var", 0), ("/var/www", 2),
    ]  # fmt: skip


async def test_stat(root: Path) -> None:
    """Kinds, modes, times and targets are as Docker's clients expect them."""
    (root / "file").write_text("12345")
    os.chmod(root / "file", 0o4640)
    os.utime(root / "file", ns=(0, 1_600_000_000_120_000_000))
    (root / "link").symlink_to("/etc")
    place = Place(None, root)
    file, link, through = [await stat(place, path) for path in ("file", "/link", "/link/")]

    assert (file.name, file.size, file.mode) == ("file", 5, 1 << 23 | 0o640)
    assert file.mtime == "2020-09-13T12:26:40.12Z"
    assert (link.name, link.mode, link.link_target) == ("link", 1 << 27 | 0o777, "/etc")
    assert (through.name, through.mode) == ("link", 1 << 31 | 0o755)
    assert (await stat(place, "/")).name == "/"
    assert (await stat(place, "/tmp")).mode == 1 << 31 | 1 << 20 | 0o777
    with pytest.raises(NotFound, match="Could not find the file /no/such in container c1"):
        await stat(place, "/no/such")


async def test_getting(root: Path) -> None:
    """A tar is named after what was asked for, and holds links, owners and modes."""
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "file").write_bytes(b"x" * 100_000)
    os.chown(root / "d" / "file", 1234, 5678)
    os.mkfifo(root / "d" / "fifo")
    (root / "d" / "link").symlink_to("../../../etc/passwd")
    place = Place(None, root)
    with await fetched(place, "/d") as found:
        file = found.getmember("d/file")

        assert found.getnames() == ["d", "d/e", "d/fifo", "d/file", "d/link"]
        assert (file.size, file.uid, file.gid) == (100_000, 1234, 5678)
        assert found.getmember("d/link").linkname == "../../../etc/passwd"
    with await fetched(place, "/d/.") as found:
        assert found.getnames()[:2] == [".", "./e"]
    with await fetched(place, "/d/link") as found:
        assert found.getmember("link").issym()


async def test_giving_up_in_the_middle(root: Path) -> None:
    """A client that leaves in the middle of a download leaves no process behind."""
    (root / "large").write_bytes(bytes(8 << 20))
    _, chunks = await get(Place(None, root), "/large")
    assert isinstance(await anext(chunks), bytes)
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_putting(root: Path) -> None:
    """Files arrive where they were sent, over what was there, with their times."""
    place = Place(None, root)
    await put(
        place, "/etc", pieces(tar(("passwd", b"0", b"mine"), ("new/file", b"0", b"x" * 5000)))
    )

    assert (root / "etc" / "passwd").read_text() == "mine"
    assert (root / "etc" / "new" / "file").stat().st_size == 5000
    await put(place, "/etc", pieces(tar(("own", b"0", b"x"))), copy_owner=True, owner=(7, 8))
    assert ((root / "etc" / "own").stat().st_uid, (root / "etc" / "own").stat().st_gid) == (7, 8)


@pytest.mark.parametrize(
    ("path", "content", "kind", "said"),
    [
        ("/no/such", tar(), NotFound, "Could not find the file"),
        ("/etc/passwd", tar(), Invalid, "extraction point is not a directory"),
        ("/", b"junk" * 300, Invalid, "Error processing tar file"),
        ("/", tar(("../../escaped", b"0", b"x")), Invalid, "invalid symlink or path"),
        ("/", tar(("passwd/../../escaped", b"0", b"x")), Invalid, "invalid symlink or path"),
        ("/", tar(("etc", b"0", b"x")), Invalid, "cannot overwrite directory"),
    ],
)
async def test_puts_that_are_refused(
    root: Path, path: str, content: bytes, kind: type[FairleadError], said: str
) -> None:
    """Each refusal says why."""
    with pytest.raises(kind, match=said):
        await put(Place(None, root), path, pieces(content), no_overwrite_dir_non_dir=True)


async def test_nothing_leads_out(root: Path, apart: Path) -> None:
    """Links, absolute names and dots end inside the container, whoever made them."""
    secret = apart / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    (root / "out").symlink_to(secret)
    (root / "up").symlink_to("../" * 20 + str(secret).lstrip("/"))
    place = Place(None, root)
    for path in ("/out/key", "/up/key", "/out/", "/../../../.." + str(secret)):
        with pytest.raises(NotFound):
            await stat(place, path)
        with pytest.raises(NotFound):
            await put(place, path, pieces(tar(("evil", b"0", b"x"))))
    through = tar(
        ("evil", tarfile.SYMTYPE, str(secret)), ("evil/written", b"0", b"x"),
        (str(secret / "absolute"), b"0", b"x"), ("hard", tarfile.LNKTYPE, str(secret / "key")),
    )  # fmt: skip
    with pytest.raises((Failed, Invalid)):
        await put(place, "/", pieces(through))

    assert sorted(path.name for path in secret.iterdir()) == ["key"]
    assert (secret / "key").read_text() == "key"
    assert (secret / "key").stat().st_nlink == 1


async def test_volumes_are_where_the_container_has_them(root: Path, apart: Path) -> None:
    """A copy goes into the volume, not under it; read-only means that here too."""
    for name in ("rw", "ro"):
        (apart / name).mkdir()
        (root / name).mkdir()
    place = Place(
        None,
        root,
        (
            Mount(MountKind.VOLUME, str(apart / "rw"), "/rw"),
            Mount(MountKind.BIND, str(apart / "ro"), "/ro", read_only=True),
            Mount(MountKind.BIND, str(apart / "none"), "/none"),
        ),
        read_only=True,
    )
    await put(place, "/rw", pieces(tar(("file", b"0", b"x"))))

    assert (apart / "rw" / "file").exists()
    assert not any((root / "rw").iterdir())
    assert (await stat(place, "/rw/file")).size == 1
    for path in ("/ro", "/"):
        with pytest.raises(Forbidden, match="container rootfs is marked read-only"):
            await put(place, path, pieces(tar(("file", b"0", b"x"))))


async def test_populating_a_volume(roots: Roots, root: Path, apart: Path) -> None:
    """An empty volume gets what the image has there, owner and mode included; others do not."""
    (root / "data" / "sub").mkdir(parents=True)
    (root / "data" / "sub" / "file").write_text("x")
    os.chown(root / "data", 33, 33)
    os.chmod(root / "data", 0o750)
    volume, full = apart / "volume", apart / "full"
    for directory in (volume, full):
        directory.mkdir()
    (full / "own").touch()
    await roots.populate("c1", "/data", volume)
    await roots.populate("c1", "/data", full)
    await roots.populate("c1", "/no/such", full)

    assert (volume / "sub" / "file").read_text() == "x"
    assert (volume.stat().st_uid, modes.S_IMODE(volume.stat().st_mode)) == (33, 0o750)
    assert [path.name for path in full.iterdir()] == ["own"]


async def test_a_container_on_an_overlay(oci: Oci, spec: MakeSpec, root: Path) -> None:
    """What runs on a root writes to it."""
    await oci.create(spec("sh", "-c", "echo hi >/said", rootfs=root), root.parent, None)
    await oci.start("c1")

    assert (await oci.wait("c1")).code == 0
    assert (root / "said").read_text() == "hi\n"
    await oci.delete("c1")
