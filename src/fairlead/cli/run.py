"""`fairlead run` and `create`: make a container, and be its terminal while it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.cli import create_body, create_options, stream, terminal
from fairlead.cli.attached import DAEMON_FAILED, STREAMS, attached
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import remote
from fairlead.cli.report import reported
from fairlead.http.client import ApiError
from fairlead.model.errors import FairleadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.cli.command import Command
    from fairlead.cli.remote import Remote

CANNOT_INVOKE, NOT_FOUND = 126, 127
PULLS = ("always", "missing", "never", "")
MISSING_PROGRAM = ("executable file not found", "no such file or directory", "cannot find the file")
UNUSABLE_PROGRAM = ("permission denied", "is a directory", "not a directory", "exec format error")


def _with_options(made: Command) -> Command:
    made.params[:0] = create_options.OPTIONS
    return made


@_with_options
@command("IMAGE [COMMAND] [ARG...]", least=1, most=None, interspersed=False)
@flag("-d", "--detach", help="Run container in background and print container ID")
@flag("--sig-proxy", default=True, help="Proxy received signals to the process (default true)")
@option("--detach-keys", default=stream.DETACH_KEYS, parse=stream.key_sequence)
def run(args: tuple[str, ...], detach: bool, sig_proxy: bool, **flags: Any) -> int:
    return _or_125(lambda: _run(args, detach=detach, sig_proxy=sig_proxy, flags=flags))


@_with_options
@command("IMAGE [COMMAND] [ARG...]", least=1, most=None, interspersed=False)
def create(args: tuple[str, ...], **flags: Any) -> int:
    def made() -> int:
        body = _body(args, flags)
        sys.stdout.write(_create(remote(), body, flags) + "\n")
        return 0

    return _or_125(made)


def _or_125(act: Callable[[], int]) -> int:
    """Docker's rule for run and create: 125 says that the container never began."""
    try:
        return act()
    except (ApiError, FairleadError) as error:
        return reported(error, status=DAEMON_FAILED, prefix="fairlead: ")


def _body(args: tuple[str, ...], flags: Mapping[str, Any]) -> dict[str, Any]:
    if flags["pull"] not in PULLS:
        raise Refused(
            f"fairlead: invalid pull option: '{flags['pull']}': must be one of \"always\", "
            '"missing" or "never"',
            status=DAEMON_FAILED,
        )
    try:
        return create_body.body(args[0], args[1:], flags)
    except ValueError as error:
        raise Refused(f"fairlead: {error}", status=DAEMON_FAILED) from error


def _run(args: tuple[str, ...], *, detach: bool, sig_proxy: bool, flags: Mapping[str, Any]) -> int:
    body = _body(args, flags)
    if detach:
        if flags["attach"]:
            message = "fairlead: conflicting options: cannot specify both --attach and --detach"
            raise Refused(message, status=DAEMON_FAILED)
        for key in ("AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"):
            body[key] = False
    tty, stdin = bool(body.get("Tty")), body["AttachStdin"]
    terminal.check_terminal(tty=tty, stdin=stdin)
    if tty and (now := terminal.size()) is not None:
        body["HostConfig"]["ConsoleSize"] = list(now)
    daemon = remote()
    container = _create(daemon, body, flags)
    streams = [name for name in STREAMS if body[f"Attach{name.title()}"]]
    if not streams:
        start(daemon, container)
        sys.stdout.write(container + "\n")
        return 0
    with terminal.proxied(daemon, container, sig_proxy and not tty):
        return attached(
            daemon,
            container,
            streams=streams,
            tty=tty,
            condition="removed" if flags["rm"] else "next-exit",
            keys=flags["detach_keys"],
            begin=lambda: start(daemon, container),
        )


def start(daemon: Remote, container: str) -> None:
    """Start it; a refusal's status says whether it is the program inside that cannot be run."""
    try:
        daemon.post(f"/containers/{container}/start")
    except ApiError as error:
        message = f"fairlead: Error response from daemon: {error.message}"
        status = start_status(error.message)
        raise Refused(message, status=status, hint=error.hint) from error


def start_status(message: str) -> int:
    """Docker's exit status for a start that failed."""
    lowered = message.lower()
    if any(words in lowered for words in MISSING_PROGRAM):
        return NOT_FOUND
    if any(words in lowered for words in UNUSABLE_PROGRAM):
        return CANNOT_INVOKE
    return DAEMON_FAILED


def _create(daemon: Remote, body: Mapping[str, Any], flags: Mapping[str, Any]) -> str:
    """Create the container, pulling its image if it is missing; return its id."""
    query = {"name": flags["name"] or None, "platform": flags["platform"] or None}
    with _CidFile(flags["cidfile"]) as cid_file:
        if flags["pull"] == "always":
            _pull(daemon, body["Image"], flags)
        try:
            answer = daemon.ask("POST", "/containers/create", query=query, body=body)
        except ApiError as error:
            missing = error.status == 404 and "no such image" in error.message.lower()
            if not missing or flags["pull"] == "never":
                raise
            if not flags["quiet"]:
                shown = _with_tag(body["Image"])
                sys.stderr.write(f"Unable to find image '{shown}' locally\n")
            _pull(daemon, body["Image"], flags)
            answer = daemon.ask("POST", "/containers/create", query=query, body=body)
        for warning in answer.get("Warnings") or ():
            sys.stderr.write(f"WARNING: {warning}\n")
        container: str = answer["Id"]
        cid_file.write(container)
    return container


def _pull(daemon: Remote, image: str, flags: Mapping[str, Any]) -> None:
    from fairlead.cli.transfer import pulled

    pulled(daemon, image, platform=flags["platform"], out=None if flags["quiet"] else sys.stderr)


def _with_tag(image: str) -> str:
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


class _CidFile:
    """The file for the container's id: refused if it is there, removed if it stays empty."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._written = False

    def __enter__(self) -> _CidFile:
        if self._path is not None:
            try:
                self._path.touch(exist_ok=False)
            except FileExistsError:
                raise Refused(
                    "fairlead: container ID file found, make sure the other container isn't "
                    f"running or delete {self._path}",
                    status=DAEMON_FAILED,
                ) from None
        return self

    def write(self, container: str) -> None:
        """Keep the id."""
        if self._path is not None:
            self._path.write_text(container)
        self._written = True

    def __exit__(self, *_: object) -> None:
        if self._path is not None and not self._written:
            os.unlink(self._path)
