"""`fairlead exec`: one more process in a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.cli import stream, terminal, values
from fairlead.cli.command import command, flag, option
from fairlead.cli.remote import name, remote

if TYPE_CHECKING:
    from collections.abc import Mapping


@command("CONTAINER COMMAND [ARG...]", least=2, most=None, interspersed=False)
@flag("-d", "--detach", help="Detached mode: run command in the background")
@option("--detach-keys", default=stream.DETACH_KEYS, parse=stream.key_sequence)
@option("-e", "--env", many=True, parse=values.variable, help="Set environment variables")
@option("--env-file", many=True, help="Read in a file of environment variables")
@flag("-i", "--interactive", help="Keep STDIN open even if not attached")
@flag("--privileged", help="Give extended privileges to the command")
@flag("-t", "--tty", help="Allocate a pseudo-TTY")
@option("-u", "--user", default="", help="Username or UID (format: <name|uid>[:<group|gid>])")
@option("-w", "--workdir", default="", help="Working directory inside the container")
def execute(args: tuple[str, ...], detach: bool, detach_keys: bytes, **flags: Any) -> int:
    tty, stdin = flags["tty"], flags["interactive"] and not detach
    terminal.check_terminal(tty=tty, stdin=stdin)
    daemon = remote()
    container, *words = args
    body = _body(words, flags, detach=detach)
    identity = daemon.post(f"/containers/{name(container)}/exec", body)["Id"]
    path = f"/exec/{identity}"
    if detach:
        daemon.post(f"{path}/start", {"Detach": True, "Tty": tty})
        return 0
    start = {"Detach": False, "Tty": tty}
    if "ConsoleSize" in body:
        start["ConsoleSize"] = body["ConsoleSize"]
    sock = daemon.hijack(f"{path}/start", body=start)
    with terminal.raw(tty and stdin), terminal.resized(daemon, path, tty):
        ended = stream.converse(
            sock,
            tty=tty,
            stdin=terminal.STDIN if stdin else None,
            detach_keys=detach_keys if tty else b"",
        )
    if ended == stream.DETACHED:
        return 0
    return int(daemon.get(f"{path}/json").get("ExitCode") or 0)


def _body(words: list[str], flags: Mapping[str, Any], *, detach: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Cmd": words,
        "Tty": flags["tty"],
        "AttachStdin": flags["interactive"] and not detach,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Privileged": flags["privileged"],
        "User": flags["user"],
        "WorkingDir": flags["workdir"],
    }
    files = [line for path in flags["env_file"] for line in values.lines_of(path, inherit=True)]
    if files or flags["env"]:
        made["Env"] = [*files, *flags["env"]]
    if flags["tty"] and (now := terminal.size()) is not None:
        made["ConsoleSize"] = list(now)
    return made
