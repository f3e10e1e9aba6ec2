"""`fairlead cp` and `export`: files in and out of containers, as tar archives.

Where things land follows cp(1) with Docker's additions::

    source is    target is         then
    a file       missing           the file under the target's name
    a file       a directory       the file in it
    a directory  missing           the directory under the target's name
    a directory  a directory       the directory in it; for SRC/. what is in it
    a directory  a file            refused
"""

from __future__ import annotations

import base64
import json
import os
import posixpath
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import name, remote
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterator

    from fairlead.cli.remote import Remote

STAT_HEADER = "x-docker-container-path-stat"
# Go's bits for a directory and a symbolic link in a file's mode.
GO_DIRECTORY, GO_SYMLINK = 1 << 31, 1 << 27
NOT_FOUND = 404


class Place(NamedTuple):
    """One side of a copy: a path, in a container or here."""

    container: str
    path: str


@command("CONTAINER:SRC_PATH DEST_PATH|- or SRC_PATH|- CONTAINER:DEST_PATH", least=2, most=2)
@flag("-a", "--archive", help="Archive mode (copy all uid/gid information)")
@flag("-L", "--follow-link", help="Always follow symbol link in SRC_PATH")
@flag("-q", "--quiet", help="Suppress progress output during copy")
def cp(args: tuple[str, ...], archive: bool, follow_link: bool, quiet: bool) -> None:
    source, target = place(args[0]), place(args[1])
    if source.container and target.container:
        raise Refused("copying between containers is not supported")
    if not source.container and not target.container:
        raise Refused("must specify at least one container source")
    if source.container:
        _from_container(remote(), source, target.path, owners=archive, follow=follow_link)
    else:
        _to_container(remote(), source.path, target, owners=archive, follow=follow_link)
    if not quiet and sys.stderr.isatty() and "-" not in args:
        sys.stderr.write(f"Successfully copied to {args[1]}\n")


@command("CONTAINER", least=1, most=1)
@option("-o", "--output", help="Write to a file, instead of STDOUT")
def export(args: tuple[str, ...], output: str | None) -> None:
    from fairlead.cli.transfer import to_file

    to_file(remote(), f"/containers/{name(args[0])}/export", output)


def place(text: str) -> Place:
    """``CONTAINER:PATH``, or a path here; a path with a colon is written ./so:me."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place("", text)
    return Place(container, path)


def _from_container(
    daemon: Remote, source: Place, target: str, *, owners: bool, follow: bool
) -> None:
    path = source.path
    if follow:
        path = _followed(path, _stat(daemon, source.container, path))
    reply = daemon.open(
        "GET", f"/containers/{name(source.container)}/archive", query={"path": path}
    )
    if target == "-":
        for chunk in reply.chunks():
            sys.stdout.buffer.write(chunk)
        return
    with reply:
        found = _decoded(reply.headers[STAT_HEADER])
        folder, base = landing(
            path,
            target,
            is_directory=bool(found["mode"] & GO_DIRECTORY),
            target_kind=_local_kind(target),
        )
        _extract(_Stream(reply.chunks()), Path(folder), base, owners=owners)


def landing(source: str, target: str, *, is_directory: bool, target_kind: str) -> tuple[str, str]:
    """The folder things land in and the name they get there, by the table above."""
    contents_only = source.endswith("/.") or source == "."
    if target_kind == "directory":
        base = "." if is_directory and contents_only else posixpath.basename(source.rstrip("/"))
        return target, base or "."
    if target_kind == "file" and is_directory:
        raise Refused("cannot copy directory")
    if target_kind == "missing" and not is_directory and target.endswith("/"):
        raise Refused(f"no such directory: {target}")
    folder, base = posixpath.split(target.rstrip("/"))
    return folder or ("/" if target.startswith("/") else "."), base


def _local_kind(path: str) -> str:
    if Path(path).is_dir():
        return "directory"
    return "file" if Path(path).exists() else "missing"


def _extract(stream: _Stream, folder: Path, base: str, *, owners: bool) -> None:
    """Unpack an archive whose entries share a first name, giving them another."""
    import tarfile

    if not folder.is_dir():
        raise Refused(f"invalid output path: directory {str(folder)!r} does not exist")
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
            for member in archive:
                member.name = _renamed(member.name, base)
                if member.islnk():
                    member.linkname = _renamed(member.linkname, base)
                if not owners:
                    member.uid, member.gid = os.getuid(), os.getgid()
                    member.uname = member.gname = ""
                # The filter refuses names that would leave the folder, also by way of a link.
                archive.extract(member, folder, filter="tar", numeric_owner=True)
    except tarfile.TarError as error:
        raise Refused(f"cannot unpack what the daemon sent: {error}") from error


def _renamed(path: str, base: str) -> str:
    rest = path.lstrip("/").partition("/")[2]
    return posixpath.join(base, rest) if rest else base


def _to_container(
    daemon: Remote, source: str, target: Place, *, owners: bool, follow: bool
) -> None:
    path, kind = _target(daemon, target)
    if source == "-":
        if kind != "directory":
            raise Refused(f'destination "{target.container}:{target.path}" must be a directory')
        _put(daemon, target.container, path, sys.stdin.buffer, owners=owners)
        return
    if not os.path.lexists(source):
        raise Refused(f"lstat {source}: no such file or directory")
    here = Path(source).resolve() if follow else Path(source)
    folder, base = landing(
        source, path, is_directory=here.is_dir() and not here.is_symlink(), target_kind=kind
    )
    with _packed(lambda archive: archive.add(here, base, filter=_plain(owners))) as stream:
        _put(daemon, target.container, folder, stream, owners=owners)


def _plain(owners: bool) -> Callable[[tarfile.TarInfo], tarfile.TarInfo]:
    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if not owners:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
        return member

    return kept


def _target(daemon: Remote, target: Place) -> tuple[str, str]:
    """Where in the container a target really is, and what is there now."""
    path = target.path or "/"
    try:
        found = _stat(daemon, target.container, path)
        if found["mode"] & GO_SYMLINK:
            path = _followed(path, found)
            found = _stat(daemon, target.container, path)
    except ApiError as error:
        if error.status != NOT_FOUND or "no such container" in error.message.lower():
            raise
        return path, "missing"
    return path, "directory" if found["mode"] & GO_DIRECTORY else "file"


def _followed(path: str, found: dict[str, Any]) -> str:
    link = found.get("linkTarget") or ""
    return posixpath.join(posixpath.dirname(path), link) if link else path


def _stat(daemon: Remote, container: str, path: str) -> dict[str, Any]:
    where = f"/containers/{name(container)}/archive"
    with daemon.open("HEAD", where, query={"path": path}) as reply:
        return _decoded(reply.headers[STAT_HEADER])


def _decoded(header: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(base64.b64decode(header))
    return made


def _put(daemon: Remote, container: str, path: str, body: IO[bytes], *, owners: bool) -> None:
    query = {"path": path, "noOverwriteDirNonDir": "true", "copyUIDGID": owners or None}
    daemon.open("PUT", f"/containers/{name(container)}/archive", query=query, body=body).read()


class _packed:  # noqa: N801 - used as a function
    """An archive written by a thread while it is read: nothing is kept in between."""

    def __init__(self, write: Callable[[tarfile.TarFile], None]) -> None:
        self._write = write
        self._failed: BaseException | None = None

    def __enter__(self) -> IO[bytes]:
        out, into = os.pipe()
        self._stream = os.fdopen(out, "rb")
        self._thread = threading.Thread(target=self._fill, args=(into,), daemon=True)
        self._thread.start()
        return self._stream

    def _fill(self, into: int) -> None:
        import tarfile

        try:
            with os.fdopen(into, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
                self._write(archive)
        except BrokenPipeError:
            # The daemon would not have more; its answer says why.
            return
        except OSError as error:
            self._failed = error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stream.close()
        self._thread.join()
        if self._failed is not None and kind is None:
            raise self._failed


class _Stream:
    """Chunks as a file, for tarfile."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Exactly this many bytes, unless the end comes first."""
        parts, missing = [], size
        while missing:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
