"""Pulling images, by skopeo.

skopeo draws its progress only on a terminal, so it gets one, wide enough that
nothing is cut, and what it draws is read back as numbers. Passwords go through
a file that only root can read, never through the command line.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import os
import pty
import re
import signal
import struct
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.errors import Failed, FairleadError, NotFound
from fairlead.runtime import process
from fairlead.runtime.attach import PipeAttachment
from fairlead.runtime.reference import Reference

PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")
BASE = ("skopeo", "--insecure-policy")
_UNITS = {"b": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BAR = re.compile(
    r"Copying (?:blob|config) ([0-9a-f]{10,12}) "
    r"(?:\[.*?\] ([\d.]+)(b|[KMGT]iB) / [\d.]+(?:b|[KMGT]iB)|(done)|(skipped))"
)

Heard = Callable[[str, int | None], None]
"""Called with the start of a blob's digest and its bytes so far; None once it is here."""


class Registry:
    """What skopeo needs to know to talk to one image's registry."""

    def __init__(
        self, reference: Reference, auth: tuple[str, str] | None, *, insecure: bool = False
    ) -> None:
        self.reference = reference
        self._auth = auth
        self._insecure = insecure or reference.on_loopback

    @contextmanager
    def _access(self, prefix: str) -> Iterator[list[str]]:
        words = []
        if self._insecure:
            words.append(f"--{prefix}tls-verify=false")
        if self._auth is None:
            yield [*words, f"--{prefix}no-creds"]
            return
        secret = base64.b64encode(":".join(self._auth).encode()).decode()
        key = self.reference.domain
        with tempfile.NamedTemporaryFile("wb", prefix="fairlead-auth-") as file:
            file.write(msgspec.json.encode({"auths": {key: {"auth": secret}}}))
            file.flush()
            yield [*words, f"--{prefix}authfile={file.name}"]

    async def manifest(self) -> bytes:
        """The manifest or index exactly as the registry has it."""
        return await self._inspect("--raw")

    async def config(self, digest: str) -> bytes:
        """The configuration for this machine exactly as the registry has it."""
        return await self._inspect("--raw", "--config", digest=digest)

    async def described(self) -> dict[str, Any]:
        """What the registry has by that name, and for which machines, as Docker shows it."""
        raw = await self.manifest()
        manifest = msgspec.json.decode(raw)
        if "manifests" in manifest:
            platforms = [entry.get("platform") or {} for entry in manifest["manifests"]]
        else:
            config = msgspec.json.decode(await self.config(""))
            platforms = [{key: config[key] for key in PLATFORM if key in config}]
        return {
            "Descriptor": {
                "mediaType": manifest.get(
                    "mediaType", "application/vnd.oci.image.manifest.v1+json"
                ),
                "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}",
                "size": len(raw),
            },
            "Platforms": platforms,
        }

    async def _inspect(self, *words: str, digest: str = "") -> bytes:
        with self._access("") as access:
            done = await process.run([*BASE, "inspect", *words, *access, self._at(digest)])
        if done.code:
            raise failure(done.complaint, self.reference)
        return done.out

    def _at(self, digest: str) -> str:
        name, tagged = self.reference.name, self.reference.tagged
        return f"docker://{name}@{digest}" if digest else f"docker://{_without_tag(tagged)}"

    async def copy(self, digest: str, layout: Path, blobs: Path, heard: Heard) -> None:
        """Copy the image with a digest into a layout whose blobs are shared."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 200, 0, 0))
        said = os.memfd_create("stderr", os.MFD_CLOEXEC)
        screen = PipeAttachment(master, {master: 1})
        try:
            with self._access("src-") as access:
                argv = [*BASE, "copy", *access, f"--dest-shared-blob-dir={blobs}"]
                argv += ["--dest-oci-accept-uncompressed-layers"]
                child = process.spawn(
                    [*argv, self._at(digest), f"oci:{layout}:image"], stdout=slave, stderr=said
                )
                os.close(slave)
                slave = -1
                try:
                    await _listen(screen, heard)
                    code = await child.wait()
                except asyncio.CancelledError:
                    child.signal(signal.SIGTERM)
                    await child.wait()
                    raise
            if code:
                raise failure(os.pread(said, 65536, 0).decode(errors="replace"), self.reference)
        finally:
            await screen.close()
            os.close(said)
            if slave >= 0:
                os.close(slave)


async def _listen(screen: PipeAttachment, heard: Heard) -> None:
    rest = ""
    async for _, data in screen:
        *lines, rest = (rest + data.decode(errors="replace")).split("\n")
        for line in lines:
            for match in _BAR.finditer(line):
                blob, count, unit, *_ = match.groups()
                heard(blob, int(float(count) * _UNITS[unit]) if count else None)


def _without_tag(reference: Reference) -> str:
    # skopeo refuses a reference that has both.
    if reference.digest:
        return f"{reference.name}@{reference.digest}"
    return str(reference)


def failure(said: str, reference: Reference) -> FairleadError:
    """skopeo's complaint about a registry in Docker's words."""
    text = " ".join(said.split())
    _, logged, message = text.partition('level=fatal msg="')
    message = message.rstrip('"').replace('\\"', '"') if logged else text
    lower = message.lower()
    name, whole = reference.familiar_name, reference.tagged.familiar
    if "manifest unknown" in lower:
        return NotFound(f"manifest for {whole} not found: manifest unknown: manifest unknown")
    if "name unknown" in lower or "repository name not known" in lower:
        return NotFound(
            f"repository {name} not found: name unknown: repository name not known to registry"
        )
    if any(word in lower for word in ("unauthorized", "authentication required", "denied")):
        return NotFound(
            f"pull access denied for {name}, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied"
        )
    start = message.find('Get "')
    return Failed(message[start:] if start >= 0 else message)
