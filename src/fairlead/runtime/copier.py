"""The program that looks into a container's files for ``docker cp``.

Run as a child, by path, with the standard library only. It makes a mount
namespace of its own, puts the container's volumes where the container has them
and calls chroot: no link in there, old or made while we look, leads out. From
then on it must load nothing more from "disk", for the disk is now somebody
else's. Hence the imports at the top, numeric owners (name lookups load
libraries: CVE-2019-14271) and the emptied import path.

The first line of its output is a JSON object, about the path or about what is
wrong; a tar may follow.
"""

from __future__ import annotations

import bz2
import ctypes
import gzip
import json
import lzma
import os
import posixpath
import shutil
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

# tarfile imports these when it needs them, which would be too late.
LOADED = (bz2, gzip, lzma, zlib)

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 0x1, 0x20, 0x1000, 0x4000, 0x80000
CLONE_NEWNS = 0x20000
RESOLVE_IN_ROOT = 0x10
OPENAT2 = 437

# Go's file mode, which Docker's clients read, has its own bits for kinds.
GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFREG: 0,
}
GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """Something the caller has a word for."""

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def checked(result: int, what: str) -> int:
    """Raise what the kernel said."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: str, flags: int) -> None:
    """Bind, remount or change propagation."""
    checked(
        libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None),
        target,
    )


def enter(root: str, mounts: list[dict[str, Any]], read_only: bool) -> None:
    """Go into the container's root for good."""
    checked(libc.unshare(CLONE_NEWNS), "unshare")
    mount("", "/", MS_REC | MS_SLAVE)
    mount(root, root, MS_BIND)
    if read_only:
        mount("", root, MS_BIND | MS_REMOUNT | MS_RDONLY)
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for item in sorted(mounts, key=lambda item: str(item["target"]).count("/")):
        if not os.path.exists(item["source"]):
            continue
        try:
            fd = open_in(directory, item["target"])
        except FileNotFoundError:
            continue  # The container never started, so nobody made the place yet.
        place = f"/proc/self/fd/{fd}"
        mount(item["source"], place, MS_BIND | MS_REC)
        os.close(fd)
        if item["read_only"]:
            fd = open_in(directory, item["target"])
            mount("", f"/proc/self/fd/{fd}", MS_BIND | MS_REMOUNT | MS_RDONLY)
            os.close(fd)
    os.fchdir(directory)
    os.chroot(".")
    os.chdir("/")
    os.close(directory)
    sys.path.clear()
    sys.meta_path.clear()


def open_in(directory: int, path: str) -> int:
    """Open a path as if the directory were /."""
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
    result = libc.syscall(
        ctypes.c_long(OPENAT2), ctypes.c_int(directory), os.fsencode(path), how, ctypes.c_size_t(24)
    )
    return checked(int(result), path)


def described(path: str) -> tuple[str, dict[str, Any]]:
    """Where a path leads, and what Docker's clients want to know of it."""
    whole = "/" + path.lstrip("/")
    try:
        if whole.endswith(("/", "/.")):
            # A path that ends like this means what a link at its end points to.
            place = os.path.realpath(whole, strict=True)
            if whole.rstrip("/.") and not os.path.isdir(place):
                raise Refused("not-directory")
        else:
            place = posixpath.join(
                os.path.realpath(posixpath.dirname(whole), strict=True), posixpath.basename(whole)
            )
        found = os.lstat(place)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused("missing") from error
    link = os.path.realpath(place) if stat.S_ISLNK(found.st_mode) else ""
    moment = datetime.fromtimestamp(found.st_mtime_ns // 10**9, UTC)
    fraction = f".{found.st_mtime_ns % 10**9:09d}".rstrip("0").rstrip(".")
    return place, {
        "name": base(whole),
        "size": found.st_size,
        "mode": go_mode(found.st_mode),
        "mtime": moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z",
        "link_target": link,
    }


def base(path: str) -> str:
    """The last part of a path, in the way of Go's filepath.Base."""
    if path.endswith("/."):
        return "."
    return posixpath.basename(path.rstrip("/")) or "/"


def go_mode(mode: int) -> int:
    """A mode in Go's bits."""
    made = stat.S_IMODE(mode) & 0o777 | GO_KINDS.get(stat.S_IFMT(mode), 0)
    for bit, go_bit in GO_BITS:
        if mode & bit:
            made |= go_bit
    return made


def send(place: str, name: str) -> None:
    """Write a tar of a place, under another name, to standard output."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path, inside in below(place, name):
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    continue  # It has no place in a tar.
                member = tar.gettarinfo(path, inside)
            except FileNotFoundError:
                continue  # Gone since it was listed.
            member.mtime = int(member.mtime)
            if not member.isreg():
                tar.addfile(member)
                continue
            with open(path, "rb") as content:
                tar.addfile(member, content)


def below(place: str, name: str) -> Iterator[tuple[str, str]]:
    """Everything from a place down, parents first, with its name in the tar."""
    yield place, name
    if os.path.isdir(place) and not os.path.islink(place):
        for entry in sorted(os.listdir(place)):
            yield from below(posixpath.join(place, entry), posixpath.join(name, entry))


def receive(path: str, no_overwrite: bool, owner: list[int] | None) -> None:
    """Unpack a tar from standard input into a directory."""
    try:
        target = os.path.realpath("/" + path.lstrip("/"), strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused("missing") from error
    if not os.path.isdir(target):
        raise Refused("not-directory", "extraction point is not a directory")
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as tar:
        later = []
        for member in tar:
            name = posixpath.normpath("/" + member.name).lstrip("/")
            if ".." in member.name.split("/"):
                raise Refused("invalid", f"invalid symlink or path in archive: {member.name!r}")
            member.name = name or "."
            if owner is not None:
                member.uid, member.gid = owner
            place = posixpath.join(target, name)
            make_way(member, place, no_overwrite)
            tar.extract(member, target, numeric_owner=True, **TRUSTED)
            if member.isdir():
                later.append((place, member.mtime))
        # Filling a directory changes its time: set those last, the deepest first.
        for place, mtime in reversed(later):
            os.utime(place, (mtime, mtime))


# Within the chroot there is nothing to be kept from; newer versions warn without it.
TRUSTED: dict[str, Any] = (
    {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
)


def make_way(member: tarfile.TarInfo, place: str, no_overwrite: bool) -> None:
    """Remove what is in a member's way."""
    try:
        there = os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return
    is_dir = stat.S_ISDIR(there.st_mode)
    if is_dir and member.isdir():
        return
    if no_overwrite and (is_dir or member.isdir()):
        first, second = ("directory", "non-directory") if is_dir else ("non-directory", "directory")
        raise Refused("invalid", f'cannot overwrite {first} "{place}" with {second} "{place}"')
    if is_dir:
        shutil.rmtree(place)
    else:
        os.unlink(place)


def main(order: dict[str, Any]) -> None:
    """Carry out one order."""
    sys.excepthook = complain
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]
    enter(order["root"], order["mounts"], order["read_only"])
    if order["verb"] == "put":
        receive(order["path"], order["no_overwrite"], order["owner"])
        answer({})
        return
    place, found = described(order["path"])
    answer(found)
    if order["verb"] == "get":
        send(place, found["name"])


def complain(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """Say what went wrong without reading any file, as a traceback would."""
    sys.stderr.write(f"{kind.__name__}: {error}\n")


def answer(made: dict[str, Any]) -> None:
    """Write the first line."""
    sys.stdout.buffer.write(json.dumps(made).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except Refused as error:
        answer({"refused": error.kind, "message": str(error)})
    except tarfile.TarError as error:
        answer({"refused": "invalid", "message": f"Error processing tar file: {error}"})
    except OSError as error:
        kind = "read-only" if error.errno == 30 else "failed"  # EROFS
        answer({"refused": kind, "message": str(error)})
    except BrokenPipeError:
        sys.exit(1)
