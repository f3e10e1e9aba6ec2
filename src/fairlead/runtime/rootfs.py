"""Root file systems: an image unpacked once, an overlay for each container.

::

    images/roots/<image>       the image, unpacked by umoci, shared and never written
    containers/<id>/image      which one a container stands on
    containers/<id>/upper      what the container wrote
    containers/<id>/merged     both together: its root

An image is unpacked beside its place and renamed into it, so a root that exists
is whole. Overlays are mounted in the daemon's own mount namespace and stay when
the daemon goes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import shutil
from pathlib import Path

import msgspec

from fairlead.model.errors import Failed, NotFound
from fairlead.runtime import overlay, process, syscalls
from fairlead.runtime.copying import PathStat, Place, get, put, stat
from fairlead.runtime.image import Image, Images

__all__ = ["PathStat", "Place", "Roots", "get", "put", "stat"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class Roots:
    """The roots of all containers."""

    def __init__(self, images: Images, containers: Path) -> None:
        self._images = images
        self._containers = containers
        self._unpacking: dict[str, asyncio.Lock] = {}

    async def mount(self, container: str, image: Image | str) -> Path:
        """Mount a container's root, unpacking its image if it is the first."""
        id_ = image if isinstance(image, str) else image.id
        lower = await self._lower(id_)
        return await asyncio.to_thread(_mount, self._containers / container, lower, id_)

    async def unmount(self, container: str) -> None:
        """Unmount it; it may not be mounted."""
        await asyncio.to_thread(_unmount, self._containers / container / "merged")

    async def remove(self, container: str) -> None:
        """Remove what the container wrote, and its image's root if that was the last use."""
        directory = self._containers / container
        marker = directory / "image"
        image = marker.read_text() if marker.exists() else ""
        await asyncio.to_thread(_remove, directory)
        if image and not self._images.knows(image) and not self._stands_on(image):
            await self._images.drop_root(image)

    def _stands_on(self, image: str) -> bool:
        return any(marker.read_text() == image for marker in self._containers.glob("*/image"))

    async def size(self, container: str) -> int:
        """How many bytes the container wrote."""
        return await asyncio.to_thread(
            overlay.written_bytes, self._containers / container / "upper"
        )

    async def changes(self, container: str, image: Image | str) -> list[tuple[str, int]]:
        """What the container changed: path and 0 modified, 1 added, 2 deleted."""
        lower = await self._lower(image if isinstance(image, str) else image.id)
        return await asyncio.to_thread(
            overlay.changes, self._containers / container / "upper", lower
        )

    async def populate(self, container: str, path: str, target: Path) -> None:
        """Fill an empty volume with what the image has where it will be mounted."""
        merged = self._containers / container / "merged"
        if await asyncio.to_thread(_is_directory, merged, path) is None or any(target.iterdir()):
            return
        _, tar = await get(Place(None, merged), f"/{path.strip('/')}/.")
        await put(Place(None, target), "/", tar)

    async def _lower(self, image: str) -> Path:
        place = self._images.lowers / image.removeprefix("sha256:")
        if place.exists():
            return place
        async with self._unpacking.setdefault(image, asyncio.Lock()):
            if not place.exists():
                await self._unpack(image, place)
        return place

    async def _unpack(self, image: str, place: Path) -> None:
        if not self._images.knows(image):
            raise NotFound(f"No such image: {image}")
        work = self._images.scratch / secrets.token_hex(8)
        try:
            with self._images.in_use():
                await asyncio.to_thread(_layout, self._images, image, work / "layout")
                fresh = work / "root"
                done = await process.run(
                    ["umoci", "raw", "unpack", f"--image={work / 'layout'}:image", str(fresh)]
                )
            if done.code:
                raise Failed(f"cannot unpack image {image[7:19]}: {done.complaint}")
            await asyncio.to_thread(_settle, fresh, place)
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


def _layout(images: Images, image: str, layout: Path) -> None:
    """Make an OCI layout of one image, its blobs being links to ours."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    entry = images.entry(image)

    def linked(digest: str) -> None:
        link = blobs / digest[7:]
        if not link.is_symlink():
            link.symlink_to(images.blobs.path(digest))

    manifest = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, entry.id, images.blobs.size(entry.id)),
            "layers": [
                _descriptor(_LAYER + "+gzip" * layer.gzip, layer.digest, layer.size)
                for layer in entry.layers
            ],
        }
    )
    for digest in (entry.id, *(layer.digest for layer in entry.layers)):
        linked(digest)
    digest = images.blobs.put(manifest)
    linked(digest)
    (layout / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
    named = {"annotations": {"org.opencontainers.image.ref.name": "image"}}
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(_MANIFEST, digest, len(manifest)) | named],
    }
    (layout / "index.json").write_bytes(msgspec.json.encode(index))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _settle(fresh: Path, place: Path) -> None:
    """Make an unpacked root durable, then known."""
    fd = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # After a power cut a renamed directory may stand without its files' content.
        syscalls.syncfs(fd)
    finally:
        os.close(fd)
    os.rename(fresh, place)


def _mount(directory: Path, lower: Path, image: str) -> Path:
    upper, work, merged = (directory / name for name in ("upper", "work", "merged"))
    if os.path.ismount(merged):
        return merged
    if not upper.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o710)
        fresh = directory / "upper.new"
        fresh.mkdir(exist_ok=True)
        # The root directory of an overlay is the upper one, mode and owner included.
        found = lower.stat()
        os.chmod(fresh, found.st_mode & 0o7777)
        os.chown(fresh, found.st_uid, found.st_gid)
        (directory / "image").write_text(image)
        fresh.rename(upper)
    for each in (work, merged):
        each.mkdir(exist_ok=True, mode=0o700)
    options = ",".join(
        f"{name}={_escaped(path)}"
        for name, path in (("lowerdir", lower), ("upperdir", upper), ("workdir", work))
    )
    try:
        syscalls.mount("overlay", str(merged), "overlay", 0, options)
    except OSError as error:
        raise Failed(
            f"cannot mount the root of container {directory.name[:12]}: {error.strerror}",
            hint=f"the file system of {directory} must be able to carry an overlay",
        ) from error
    return merged


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _unmount(merged: Path) -> None:
    try:
        syscalls.unmount(str(merged))
    except OSError as error:
        if error.errno == errno.EBUSY:
            # Somebody stands in it; it goes when they leave.
            syscalls.unmount(str(merged), syscalls.MNT_DETACH)
        elif error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def _remove(directory: Path) -> None:
    _unmount(directory / "merged")
    for name in ("upper", "upper.new", "work", "merged"):
        if (directory / name).exists():
            shutil.rmtree(directory / name)
    (directory / "image").unlink(missing_ok=True)
    if directory.exists() and not any(directory.iterdir()):
        directory.rmdir()


def _is_directory(root: Path, path: str) -> bool | None:
    """Whether a path in a root is a directory with something in it; None if it is none."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = syscalls.open_in(fd, path.lstrip("/") or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    finally:
        os.close(fd)
    try:
        return bool(os.listdir(found))
    finally:
        os.close(found)
