"""Pulling one image, and telling how it goes in Docker's messages.

skopeo rewrites an older Docker manifest on its way into an OCI layout, and with
it the configuration whose digest is the image's id. So the registry's own
manifest is asked for first (its digest is the one to show), and the registry's
own configuration is fetched where the copy's differs.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.errors import Failed, Unsupported
from fairlead.runtime.archive import diff_ids, layer
from fairlead.runtime.blobs import Blobs
from fairlead.runtime.catalog import Catalog, Entry
from fairlead.runtime.reference import Reference
from fairlead.runtime.skopeo import Registry

Progress = Callable[[dict[str, object]], None]

_LISTS = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)


def silent(message: Mapping[str, object]) -> None:
    """Tell nobody."""


async def pull(
    reference: Reference,
    auth: tuple[str, str] | None,
    progress: Progress,
    blobs: Blobs,
    scratch: Path,
    catalog: Catalog,
    *,
    insecure: bool = False,
) -> Entry:
    """Bring an image's blobs here and say what its entry is."""
    wanted = reference.tagged
    registry = Registry(wanted, auth, insecure=insecure)
    raw = await registry.manifest()
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    progress(
        {
            "status": f"Pulling from {wanted.path}",
            "id": wanted.tag or wanted.digest,
        }
    )
    known = catalog.holder(Reference(wanted.domain, wanted.path, digest=digest))
    if known is None:
        entry = await _fetch(registry, raw, digest, progress, blobs, scratch)
    else:
        entry = known
    progress({"status": f"Digest: {digest}"})
    had_it = known is not None and catalog.holder(wanted) == known
    news = "Image is up to date for" if had_it else "Downloaded newer image for"
    progress({"status": f"Status: {news} {wanted.familiar}"})
    return Entry(
        entry.id,
        entry.layers,
        tags=(str(wanted),) if wanted.tag and not wanted.digest else (),
        digests=(f"{wanted.name}@{digest}",),
        tagged_at="" if had_it else datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )


async def _fetch(
    registry: Registry, raw: bytes, digest: str, progress: Progress, blobs: Blobs, scratch: Path
) -> Entry:
    manifest = msgspec.json.decode(raw)
    teller = _Teller(progress, manifest.get("layers") or (), blobs)
    layout = scratch / secrets.token_hex(8)
    try:
        await registry.copy(digest, layout, blobs.root, teller.heard)
        index = msgspec.json.decode((layout / "index.json").read_bytes())
    finally:
        await asyncio.to_thread(shutil.rmtree, layout, ignore_errors=True)
    copied = msgspec.json.decode(blobs.read(index["manifests"][0]["digest"]))
    if any(item["mediaType"].endswith("zstd") for item in copied["layers"]):
        raise Unsupported(
            f"{registry.reference.familiar}: layers compressed with zstd cannot be unpacked",
            hint="ask for the image with gzip layers, or convert it with skopeo",
        )
    teller.layers(copied["layers"])
    teller.done()
    config = copied["config"]["digest"]
    if _rewritten(manifest, config):
        config = blobs.put(await registry.config(digest))
    layers = tuple(layer(blobs, item["digest"]) for item in copied["layers"])
    if len(layers) != len(diff_ids(blobs.read(config))):
        raise Failed(f"{registry.reference.familiar}: layers and configuration do not match")
    return Entry(config, layers)


def _rewritten(manifest: Mapping[str, Any], config: str) -> bool:
    """Whether the copy's configuration may not be the registry's own."""
    if manifest.get("mediaType") in _LISTS or "manifests" in manifest:
        # Which entry of the list was taken shows only by its configuration; asking
        # again costs one small request.
        return True
    return bool(manifest.get("config", {}).get("digest") != config)


class _Teller:
    """Turns what skopeo says into Docker's progress messages."""

    def __init__(self, progress: Progress, layers: Any, blobs: Blobs) -> None:
        self._progress = progress
        self._blobs = blobs
        self._sizes: dict[str, int] = {}
        self._finished: set[str] = set()
        self.layers(layers)

    def layers(self, layers: Any) -> None:
        for item in layers:
            short = item["digest"][7:19]
            if short in self._sizes:
                continue
            self._sizes[short] = item["size"]
            if self._blobs.has(item["digest"]) and not self._finished:
                self._finished.add(short)
                self._say(short, "Already exists")
            else:
                self._say(short, "Pulling fs layer")

    def heard(self, blob: str, count: int | None) -> None:
        short = blob[:12]
        if short not in self._sizes or short in self._finished:
            return
        if count is None:
            self._finish(short)
            return
        detail = {"current": min(count, self._sizes[short]), "total": self._sizes[short]}
        self._progress({"status": "Downloading", "progressDetail": detail, "id": short})

    def done(self) -> None:
        for short in self._sizes:
            if short not in self._finished:
                self._finish(short)

    def _finish(self, short: str) -> None:
        self._finished.add(short)
        self._say(short, "Download complete")
        self._say(short, "Pull complete")

    def _say(self, short: str, status: str) -> None:
        self._progress({"status": status, "progressDetail": {}, "id": short})
