"""Image archives: reading and writing them, and plain tars as images.

An archive is somebody else's. It is never unpacked: members are looked up by
name and their content goes to blobs named by its own digest. What the archive
claims about digests is checked, what it says about paths is not used.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from fairlead.model.errors import Invalid
from fairlead.runtime.blobs import Blobs
from fairlead.runtime.catalog import Entry, Layer
from fairlead.runtime.reference import parse

_LARGEST_JSON = 8 << 20
_LINKS = 8

_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)


def _gunzip(file: IO[bytes]) -> Any:
    return gzip.GzipFile(fileobj=file)


_OPENERS: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", _gunzip),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)

LayerHeard = Callable[[str, int, int], None]
"""Called with a layer's diff id, bytes so far and bytes in all."""


@dataclass(frozen=True, slots=True)
class _Manifest:
    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...]


@contextmanager
def plain(path: Path, scratch: Path) -> Iterator[IO[bytes]]:
    """Open a tar, first uncompressed into a scratch file if it is compressed."""
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in _OPENERS if start.startswith(magic)), None)
        if opener is None:
            yield file
            return
        with tempfile.TemporaryFile(dir=scratch) as whole:
            try:
                shutil.copyfileobj(opener(file), whole, 1 << 20)
            except _BROKEN as error:
                raise Invalid(f"Error processing tar file(exit status 1): {error}") from error
            whole.seek(0)
            yield whole


class _Archive:
    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._tar = tarfile.TarFile(fileobj=file)
            self._members = {_clean(member.name): member for member in self._tar.getmembers()}
        except _BROKEN as error:
            raise Invalid(f"Error processing tar file(exit status 1): {error}") from error

    def has(self, name: str) -> bool:
        return _clean(name) in self._members

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """A file of the archive, through the links that old archives use for shared layers."""
        where = _clean(name)
        for _ in range(_LINKS):
            member = self._members.get(where)
            if member is None:
                break
            if member.issym():
                where = _clean(posixpath.join(posixpath.dirname(where), member.linkname))
            elif member.islnk():
                where = _clean(member.linkname)
            elif member.isfile() and (content := self._tar.extractfile(member)) is not None:
                return content, member.size
            else:
                break
        raise Invalid(f"invalid archive: no file {name!r} in it")

    def json(self, name: str) -> Any:
        try:
            return msgspec.json.decode(self.read(name))
        except msgspec.DecodeError as error:
            raise Invalid(f"invalid archive: {name}: {error}") from error

    def read(self, name: str) -> bytes:
        content, size = self.open(name)
        if size > _LARGEST_JSON:
            raise Invalid(f"invalid archive: {name} is too large")
        return content.read()


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


def load(file: IO[bytes], blobs: Blobs, heard: LayerHeard) -> list[Entry]:
    """Store every image of an archive, ``docker save``'s or an OCI one."""
    archive = _Archive(file)
    if archive.has("manifest.json"):
        manifests = list(_docker(archive))
    elif archive.has("index.json"):
        manifests = list(_oci(archive, archive.json("index.json").get("manifests") or ()))
    else:
        raise Invalid(
            "invalid archive: neither manifest.json nor index.json in it",
            hint="a root file system, as `docker export` writes it, is for `import`",
        )
    return [_store(archive, manifest, blobs, heard) for manifest in manifests]


def _docker(archive: _Archive) -> Iterator[_Manifest]:
    for item in archive.json("manifest.json"):
        try:
            yield _Manifest(
                item["Config"], tuple(item.get("Layers") or ()), tuple(item.get("RepoTags") or ())
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise Invalid(f"invalid archive: manifest.json: {error!r}") from error


def _oci(archive: _Archive, found: Sequence[Mapping[str, Any]]) -> Iterator[_Manifest]:
    for item in found:
        inner = archive.json(_blob(item["digest"]))
        if "manifests" in inner:
            yield from _oci(archive, inner["manifests"][:1])
            continue
        notes = item.get("annotations") or {}
        name = notes.get("io.containerd.image.name") or notes.get(
            "org.opencontainers.image.ref.name", ""
        )
        yield _Manifest(
            _blob(inner["config"]["digest"]),
            tuple(_blob(layer["digest"]) for layer in inner["layers"]),
            (name,) if "/" in name or ":" in name else (),
        )


def _blob(digest: str) -> str:
    return "blobs/" + str(digest).replace(":", "/")


def _store(archive: _Archive, manifest: _Manifest, blobs: Blobs, heard: LayerHeard) -> Entry:
    raw = archive.read(manifest.config)
    ids = diff_ids(raw)
    if len(ids) != len(manifest.layers):
        raise Invalid("invalid manifest, layers length mismatch")
    layers = []
    for number, (name, wanted) in enumerate(zip(manifest.layers, ids, strict=True)):
        if not blobs.has(wanted):
            content, size = archive.open(name)
            heard(wanted, 0, size)
            digest = blobs.take(content)
            heard(wanted, size, size)
            if (got := blobs.plain_digest(digest)) != wanted:
                raise Invalid(
                    f'invalid diffID for layer {number}: expected "{wanted}", got "{got}"'
                )
        else:
            digest = wanted
        layers.append(layer(blobs, digest))
    tags = tuple(str(parse(tag).tagged) for tag in manifest.tags)
    return Entry(blobs.put(raw), tuple(layers), tags)


def diff_ids(raw: bytes) -> list[str]:
    """The layers that an image's configuration names."""
    try:
        return [str(item) for item in msgspec.json.decode(raw)["rootfs"]["diff_ids"] or ()]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Invalid(f"invalid image configuration: {error!r}") from error


def layer(blobs: Blobs, digest: str) -> Layer:
    """What there is to know of a stored layer."""
    return Layer(digest, blobs.size(digest), blobs.unpacked_size(digest), blobs.is_gzip(digest))


def take_tar(file: IO[bytes], blobs: Blobs) -> Layer:
    """Store a root file system's tar as a layer."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for _ in tar:
                pass
    except _BROKEN as error:
        raise Invalid(f"Error processing tar file(exit status 1): {error}") from error
    file.seek(0)
    return layer(blobs, blobs.take(file))


def save(entries: Sequence[tuple[Entry, Sequence[str]]], blobs: Blobs, target: Path) -> None:
    """Write images, each with the tags to give it, as ``docker load`` reads them."""
    manifest, written = [], set[str]()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry, tags in entries:
            raw = blobs.read(entry.id)
            names = []
            for stored, diff_id in zip(entry.layers, diff_ids(raw), strict=True):
                name = f"{diff_id[7:]}/layer.tar"
                if name not in written:
                    _add_layer(tar, name, blobs, stored)
                    written.add(name)
                names.append(name)
            config = f"{entry.id[7:]}.json"
            if config not in written:
                _add(tar, config, io.BytesIO(raw), len(raw))
                written.add(config)
            familiar = [parse(tag).familiar for tag in tags]
            manifest.append({"Config": config, "RepoTags": familiar or None, "Layers": names})
        listing = msgspec.json.encode(manifest)
        _add(tar, "manifest.json", io.BytesIO(listing), len(listing))


def _add_layer(tar: tarfile.TarFile, name: str, blobs: Blobs, stored: Layer) -> None:
    if not stored.gzip:
        with open(blobs.path(stored.digest), "rb") as file:
            _add(tar, name, file, stored.size)
        return
    with tempfile.TemporaryFile(dir=blobs.root) as whole:
        with blobs.open_plain(stored.digest) as source:
            shutil.copyfileobj(source, whole, 1 << 20)
        size = whole.tell()
        whole.seek(0)
        _add(tar, name, whole, size)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    tar.addfile(member, content)
