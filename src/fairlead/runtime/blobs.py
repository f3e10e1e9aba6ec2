"""Content by its digest: layers, configurations, manifests.

A file here is complete and is what its name says: it was hashed while it was
written elsewhere and then renamed. Nothing from an archive ever names a path.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

from fairlead.model.errors import Failed, Invalid

CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class Blobs:
    """A directory of blobs, laid out as the OCI image layout has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directory = root / "sha256"

    def open(self) -> None:
        """Make the directory and drop what a crash left half written."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.root.glob("new-*"):
            left.unlink()

    def path(self, digest: str) -> Path:
        """Where the content of a digest is, or would be."""
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise Invalid(f"invalid digest: {digest}")
        return self._directory / value

    def has(self, digest: str) -> bool:
        """Whether the content is here."""
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """The content of a small blob."""
        return self.path(digest).read_bytes()

    def size(self, digest: str) -> int:
        """How many bytes it has."""
        return self.path(digest).stat().st_size

    def put(self, content: bytes) -> str:
        """Store bytes; the answer is their digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self._fresh() as file:
            file.write(content)
        os.replace(file.name, self.path(digest))
        return digest

    def take(self, source: IO[bytes]) -> str:
        """Store a stream; the answer is its digest."""
        seen = hashlib.sha256()
        with self._fresh() as file:
            while piece := source.read(CHUNK):
                seen.update(piece)
                file.write(piece)
        digest = f"sha256:{seen.hexdigest()}"
        os.replace(file.name, self.path(digest))
        return digest

    def _fresh(self) -> IO[bytes]:
        return open(self.root / f"new-{secrets.token_hex(8)}", "xb")

    def is_gzip(self, digest: str) -> bool:
        """Whether the content is compressed."""
        with open(self.path(digest), "rb") as file:
            return file.read(2) == _GZIP

    def unpacked_size(self, digest: str) -> int:
        """How large it is uncompressed, by its own word."""
        path = self.path(digest)
        size = path.stat().st_size
        if not self.is_gzip(digest):
            return size
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            # gzip keeps the size modulo 4 GiB.
            told = int.from_bytes(file.read(4), "little")
        while told < size // 2:
            told += 1 << 32
        return told

    def open_plain(self, digest: str) -> IO[bytes]:
        """Open the content, uncompressed on the way if need be."""
        path = self.path(digest)
        return gzip.open(path, "rb") if self.is_gzip(digest) else open(path, "rb")  # type: ignore[return-value]

    def plain_digest(self, digest: str) -> str:
        """The digest of the uncompressed content: a layer's diff id."""
        if not self.is_gzip(digest):
            return digest
        seen = hashlib.sha256()
        try:
            with self.open_plain(digest) as source:
                while piece := source.read(CHUNK):
                    seen.update(piece)
        except (OSError, EOFError, zlib.error) as error:
            raise Failed(f"layer {digest} is damaged: {error}") from error
        return f"sha256:{seen.hexdigest()}"

    def keep_only(self, wanted: Collection[str]) -> int:
        """Remove every other blob; the answer is how many bytes that freed."""
        names = {digest.partition(":")[2] for digest in wanted}
        freed = 0
        for path in self._directory.iterdir():
            if path.name not in names:
                freed += path.stat().st_size
                path.unlink()
        return freed
