"""`fairlead start` and `attach`: containers that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.cli import stream, terminal
from fairlead.cli.attached import attached
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each

if TYPE_CHECKING:
    from fairlead.cli.remote import Remote


@command("CONTAINER [CONTAINER...]", least=1, most=None)
@flag("-a", "--attach", help="Attach STDOUT/STDERR and forward signals")
@flag("-i", "--interactive", help="Attach container's STDIN")
@option("--detach-keys", default=stream.DETACH_KEYS, parse=stream.key_sequence)
def start(args: tuple[str, ...], attach: bool, interactive: bool, detach_keys: bytes) -> int:
    daemon = remote()
    if not attach and not interactive:

        def one(ref: str) -> str:
            daemon.post(f"/containers/{name(ref)}/start")
            return ref

        return each(args, one)
    if len(args) > 1:
        raise Refused("you cannot start and attach multiple containers at once")
    container = daemon.get(f"/containers/{name(args[0])}/json")
    stdin = interactive and bool(container["Config"].get("OpenStdin"))
    return talk(daemon, container, stdin=stdin, keys=detach_keys, sig_proxy=True, start_it=True)


@command("CONTAINER", least=1, most=1)
@flag("--no-stdin", help="Do not attach STDIN")
@flag("--sig-proxy", default=True, help="Proxy all received signals to the process (default true)")
@option("--detach-keys", default=stream.DETACH_KEYS, parse=stream.key_sequence)
def attach(args: tuple[str, ...], no_stdin: bool, sig_proxy: bool, detach_keys: bytes) -> int:
    daemon = remote()
    container = daemon.get(f"/containers/{name(args[0])}/json")
    state = container.get("State") or {}
    if not state.get("Running"):
        raise Refused("cannot attach to a stopped container, start it first")
    for word in ("Paused", "Restarting"):
        if state.get(word):
            hint = "unpause it first" if word == "Paused" else "wait until it is running"
            raise Refused(f"cannot attach to a {word.lower()} container, {hint}")
    stdin = not no_stdin and bool(container["Config"].get("OpenStdin"))
    return talk(
        daemon, container, stdin=stdin, keys=detach_keys, sig_proxy=sig_proxy, start_it=False
    )


def talk(
    daemon: Remote,
    container: dict[str, Any],
    *,
    stdin: bool,
    keys: bytes,
    sig_proxy: bool,
    start_it: bool,
) -> int:
    """Attach to a container, perhaps start it, and return its exit status."""
    identity, tty = container["Id"], bool(container["Config"].get("Tty"))
    terminal.check_terminal(tty=tty, stdin=stdin)
    removed = (container.get("HostConfig") or {}).get("AutoRemove")

    def begin() -> None:
        daemon.post(f"/containers/{identity}/start")

    with terminal.proxied(daemon, identity, sig_proxy and not tty):
        return attached(
            daemon,
            identity,
            streams=("stdin", "stdout", "stderr") if stdin else ("stdout", "stderr"),
            tty=tty,
            condition="removed" if removed else "next-exit" if start_it else "not-running",
            keys=keys,
            begin=begin if start_it else None,
        )
