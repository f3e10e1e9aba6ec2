"""Images on the move: pull, push, load, save, import; and the progress of each."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlencode

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import image_name, remote
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fairlead.cli.remote import Remote

SERVER_FAILED = 500


@command("NAME[:TAG|@DIGEST]", least=1, most=1)
@flag("-a", "--all-tags", help="Download all tagged images in the repository")
@flag("-q", "--quiet", help="Suppress verbose output")
@option("--platform", help="Set platform if server is multi-platform capable")
@flag("--disable-content-trust", default=True, hidden=True)
def pull(
    args: tuple[str, ...],
    all_tags: bool,
    quiet: bool,
    platform: str | None,
    disable_content_trust: bool,
) -> None:
    repository, tag = tagged(args[0])
    if all_tags and tag:
        raise Refused("tag can't be used with --all-tags/-a")
    if not all_tags and not tag:
        tag = "latest"
        if not quiet:
            sys.stdout.write("Using default tag: latest\n")
            sys.stdout.flush()
    pulled(remote(), repository, tag=tag, platform=platform, out=None if quiet else sys.stdout)
    sys.stdout.write(f"{full_name(repository, tag)}\n")


@command("NAME[:TAG]", least=1, most=1)
@flag("-a", "--all-tags", help="Push all tags of an image to the repository")
@flag("-q", "--quiet", help="Suppress verbose output")
@flag("--disable-content-trust", default=True, hidden=True)
def push(
    args: tuple[str, ...],
    all_tags: bool,
    quiet: bool,
    disable_content_trust: bool,
) -> None:
    repository, tag = tagged(args[0])
    if not all_tags and not tag:
        tag = "latest"
    # A push without credentials says so with an empty object; the header must be there.
    reply = remote().open(
        "POST",
        f"/images/{image_name(repository)}/push",
        query={"tag": tag or None},
        headers={"X-Registry-Auth": "e30="},
    )
    progress(reply.lines(), None if quiet else sys.stdout)


@command()
@option("-i", "--input", help="Read from tar archive file, instead of STDIN")
@flag("-q", "--quiet", help="Suppress the load output")
@option("--platform", help="Load only the given platform variant")
def load(
    args: tuple[str, ...],
    input: str | None,
    quiet: bool,
    platform: str | None,
) -> None:
    if input is None and sys.stdin.isatty():
        raise Refused("requested load from stdin, but stdin is empty")
    query = {"quiet": quiet, "platform": platform}
    with Path(input).open("rb") if input else sys.stdin.buffer as archive:
        reply = remote().open("POST", "/images/load", query=query, body=archive)
        progress(reply.lines(), sys.stdout)


@command("IMAGE [IMAGE...]", least=1, most=None)
@option("-o", "--output", help="Write to a file, instead of STDOUT")
@option("--platform", help="Save only the given platform variant")
def save(args: tuple[str, ...], output: str | None, platform: str | None) -> None:
    query: list[tuple[str, str]] = [("names", each) for each in args]
    if platform:
        query.append(("platform", platform))
    to_file(remote(), f"/images/get?{urlencode(query)}", output)


@command("file|URL|- [REPOSITORY[:TAG]]", least=1, most=2)
@option("-c", "--change", many=True, help="Apply Dockerfile instruction to the created image")
@option("-m", "--message", help="Set commit message for imported image")
@option("--platform", help="Set platform if server is multi-platform capable")
def import_(
    args: tuple[str, ...], change: tuple[str, ...], message: str | None, platform: str | None
) -> None:
    source, (repository, tag) = args[0], tagged(args[1]) if len(args) > 1 else ("", "")
    is_url = source.startswith(("http://", "https://"))
    query: list[tuple[str, str]] = [("fromSrc", source if is_url else "-")]
    query += [("repo", repository), ("tag", tag), ("message", message or "")]
    query += [("platform", platform or ""), *(("changes", each) for each in change)]
    path = "/images/create?" + urlencode([(key, value) for key, value in query if value])
    if is_url:
        progress(remote().open("POST", path).lines(), sys.stdout)
        return
    with sys.stdin.buffer if source == "-" else Path(source).open("rb") as archive:
        progress(remote().open("POST", path, body=archive).lines(), sys.stdout)


def pulled(
    daemon: Remote, image: str, *, tag: str = "", platform: str | None, out: TextIO | None
) -> None:
    """Pull an image, showing how it goes."""
    repository, own_tag = tagged(image)
    query = {
        "fromImage": repository,
        "tag": tag or own_tag or "latest",
        "platform": platform or None,
    }
    progress(daemon.open("POST", "/images/create", query=query).lines(), out)


def tagged(reference: str) -> tuple[str, str]:
    """A reference as repository and tag or digest; the tag may be empty."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return repository, digest
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return reference, ""
    return repository, tag


def full_name(repository: str, tag: str) -> str:
    """A reference with everything Docker leaves out: docker.io/library/busybox:latest."""
    first, slash, _ = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif "." not in first and ":" not in first and first != "localhost":
        repository = f"docker.io/{repository}"
    if not tag:
        return repository
    return f"{repository}{'@' if ':' in tag else ':'}{tag}"


def progress(lines: Iterable[bytes], out: TextIO | None) -> None:
    """Show a stream of progress messages; an error among them is raised."""
    screen = _Screen(out) if out is not None else None
    for line in lines:
        if not line.strip():
            continue
        message = json.loads(line)
        if "error" in message or "errorDetail" in message:
            detail = (message.get("errorDetail") or {}).get("message") or message.get("error")
            raise ApiError(SERVER_FAILED, str(detail))
        if screen is not None:
            screen.show(message)


class _Screen:
    """Progress on a terminal redraws one line an id; elsewhere each change of state is a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._rows: list[str] = []
        self._last: dict[str, str] = {}

    def show(self, message: dict[str, Any]) -> None:
        """Show one message."""
        if "stream" in message:
            self._out.write(message["stream"])
        elif "status" in message:
            self._status(message)
        self._out.flush()

    def _status(self, message: dict[str, Any]) -> None:
        identity, status = str(message.get("id") or ""), str(message["status"])
        bar = str(message.get("progress") or "")
        text = f"{identity}: {status}" if identity else status
        if not self._live:
            # Elsewhere than on a terminal a bar would only be noise.
            if not bar and self._last.get(identity) != status:
                self._out.write(text + "\n")
            self._last[identity] = status
        elif not identity:
            self._out.write(text + "\n")
            self._rows = []
        else:
            self._redraw(identity, f"{text} {bar}".rstrip())

    def _redraw(self, identity: str, text: str) -> None:
        if identity not in self._rows:
            self._rows.append(identity)
            self._out.write("\n")
        up = len(self._rows) - self._rows.index(identity)
        self._out.write(f"\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r")


def to_file(daemon: Remote, path: str, output: str | None) -> None:
    """Write an archive the daemon sends to a file, or to a pipe; never onto a terminal."""
    if output is None and sys.stdout.isatty():
        raise Refused("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    reply = daemon.open("GET", path)
    if output is None:
        for chunk in reply.chunks():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in reply.chunks():
                file.write(chunk)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
