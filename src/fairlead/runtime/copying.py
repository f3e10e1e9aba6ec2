"""Files in and out of a container's root, by way of `copier`.

The child does the looking; here its first line becomes a value or an error,
and its tar a stream.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.container import Mount, MountKind
from fairlead.model.errors import Failed, FairleadError, Forbidden, Invalid, NotFound
from fairlead.runtime import process
from fairlead.runtime.attach import PipeAttachment

_PROGRAM = Path(__file__).with_name("copier.py")
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A container's files: its mounted root and what is mounted in it."""

    pid: int | None
    root: Path
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    name: str = ""
    """What the user calls the container, for errors."""


@dataclass(frozen=True, slots=True)
class PathStat:
    """What Docker's clients want to know of a path."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


class _Copier:
    """One running child."""

    def __init__(self, place: Place, path: str, verb: str, **more: Any) -> None:
        order = {
            "verb": verb,
            "path": path,
            "root": str(place.root),
            "read_only": place.read_only,
            "mounts": [
                {"source": mount.source, "target": mount.target, "read_only": mount.read_only}
                for mount in place.mounts
                if mount.kind is not MountKind.TMPFS
            ],
            **more,
        }
        self._path = path
        self._name = place.name or place.root.parent.name
        self._rest = b""
        self._stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)
        with ExitStack() as theirs, ExitStack() as ours:
            ours.callback(os.close, self._stderr)
            inputs, outputs = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
            for fd in (inputs[0], outputs[1]):
                theirs.callback(os.close, fd)
            for fd in (inputs[1], outputs[0]):
                ours.callback(os.close, fd)
            self.child = process.spawn(
                [sys.executable, "-I", "-S", str(_PROGRAM), msgspec.json.encode(order).decode()],
                stdin=inputs[0],
                stdout=outputs[1],
                stderr=self._stderr,
                env={"LC_ALL": "C.UTF-8"},
            )
            ours.pop_all()
        self.streams = PipeAttachment(inputs[1], {outputs[0]: 1})

    async def answer(self) -> dict[str, Any]:
        """The first line."""
        while b"\n" not in self._rest and len(self._rest) < _LONGEST_LINE:
            frame = await self.streams.read()
            if frame is None:
                complaint = os.pread(self._stderr, 65536, 0).decode(errors="replace")
                raise Failed(f"cannot look into the container: {complaint.strip()[-400:]}")
            self._rest += frame[1]
        line, _, self._rest = self._rest.partition(b"\n")
        made: dict[str, Any] = msgspec.json.decode(line)
        if "refused" in made:
            raise _refusal(made["refused"], made["message"], self._path, self._name)
        return made

    async def tar(self) -> AsyncIterator[bytes]:
        """What follows it."""
        try:
            if self._rest:
                yield self._rest
            async for _, piece in self.streams:
                yield piece
            if await self.child.wait():
                complaint = os.pread(self._stderr, 65536, 0).decode(errors="replace")
                raise Failed(f"cannot read {self._path}: {complaint.strip()[-400:]}")
        finally:
            await self.close()

    async def close(self) -> None:
        """End the child, whatever it is doing."""
        self.child.signal(signal.SIGKILL)
        await self.child.wait()
        await self.streams.close()
        os.close(self._stderr)


def _refusal(kind: str, message: str, path: str, name: str) -> FairleadError:
    match kind:
        case "missing":
            return NotFound(f"Could not find the file {path} in container {name}")
        case "not-directory":
            return Invalid(message or "not a directory")
        case "read-only":
            return Forbidden("container rootfs is marked read-only")
        case "invalid":
            return Invalid(message)
        case _:
            return Failed(message)


async def stat(place: Place, path: str) -> PathStat:
    """What there is at a path."""
    copier = _Copier(place, path, "stat")
    try:
        return PathStat(**await copier.answer())
    finally:
        await copier.close()


async def get(place: Place, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
    """What there is at a path, and a tar of it, to be read or closed."""
    copier = _Copier(place, path, "get")
    try:
        await copier.streams.close_stdin()
        found = PathStat(**await copier.answer())
    except BaseException:
        await copier.close()
        raise
    return found, copier.tar()


async def put(
    place: Place,
    path: str,
    chunks: AsyncIterable[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_owner: bool = False,
    owner: tuple[int, int] | None = None,
) -> None:
    """Unpack a tar into a directory of the container."""
    copier = _Copier(
        place,
        path,
        "put",
        no_overwrite=no_overwrite_dir_non_dir,
        owner=owner if copy_owner else None,
    )
    try:
        async for piece in chunks:
            if copier.child.code is not None:
                break  # It refused, and says so below.
            await copier.streams.write(piece)
        await copier.streams.close_stdin()
        await copier.answer()
    finally:
        await copier.close()
