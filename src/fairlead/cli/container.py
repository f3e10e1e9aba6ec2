"""Containers one by one: stop, kill, remove, rename and the like."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli import output
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.listing import filter_pair, filters
from fairlead.cli.ports import bound, listed
from fairlead.cli.prompt import confirmed
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each
from fairlead.cli.values import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = "CONTAINER [CONTAINER...]"
TOP_MIN_WIDTH = 20
CHANGES = {0: "C", 1: "A", 2: "D"}


def _to_each(args: tuple[str, ...], action: str, query: Mapping[str, Any] | None = None) -> int:
    daemon = remote()

    def one(ref: str) -> str:
        daemon.post(f"/containers/{name(ref)}/{action}", **(query or {}))
        return ref

    return each(args, one, together=True)


@command(NAMES, least=1, most=None)
@flag("-f", "--force", help="Force the removal of a running container (uses SIGKILL)")
@flag("-l", "--link", help="Remove the specified link")
@flag("-v", "--volumes", help="Remove anonymous volumes associated with the container")
def rm(args: tuple[str, ...], force: bool, link: bool, volumes: bool) -> int:
    daemon = remote()

    def one(ref: str) -> str:
        daemon.delete(
            f"/containers/{name(ref.strip('/'))}",
            force=1 if force else None,
            link=1 if link else None,
            v=1 if volumes else None,
        )
        return ref

    return each(args, one, forgive_missing=force, together=True)


@command(NAMES, least=1, most=None)
@option("-s", "--signal", help="Signal to send to the container")
@option("-t", "--timeout", "--time", parse=whole, help="Seconds to wait before killing it")
def stop(args: tuple[str, ...], signal: str | None, timeout: int | None) -> int:
    return _to_each(args, "stop", {"signal": signal, "t": timeout})


@command(NAMES, least=1, most=None)
@option("-s", "--signal", help="Signal to send to the container")
@option("-t", "--timeout", "--time", parse=whole, help="Seconds to wait before killing it")
def restart(args: tuple[str, ...], signal: str | None, timeout: int | None) -> int:
    return _to_each(args, "restart", {"signal": signal, "t": timeout})


@command(NAMES, least=1, most=None)
@option("-s", "--signal", help="Signal to send to the container")
def kill(args: tuple[str, ...], signal: str | None) -> int:
    return _to_each(args, "kill", {"signal": signal})


@command(NAMES, least=1, most=None)
def pause(args: tuple[str, ...]) -> int:
    return _to_each(args, "pause")


@command(NAMES, least=1, most=None)
def unpause(args: tuple[str, ...]) -> int:
    return _to_each(args, "unpause")


@command(NAMES, least=1, most=None)
def wait(args: tuple[str, ...]) -> int:
    daemon = remote()

    def one(ref: str) -> str:
        return str(daemon.post(f"/containers/{name(ref)}/wait")["StatusCode"])

    return each(args, one)


@command("CONTAINER NEW_NAME", least=2, most=2)
def rename(args: tuple[str, ...]) -> None:
    old, new = args
    if not new.strip():
        raise Refused("Error: Neither old nor new names may be empty")
    remote().post(f"/containers/{name(old)}/rename", name=new)


@command("CONTAINER [ps OPTIONS]", least=1, most=None, interspersed=False)
def top(args: tuple[str, ...]) -> None:
    container, *options = args
    path = f"/containers/{name(container)}/top"
    answer = remote().get(path, ps_args=" ".join(options) or None)
    rows = [answer["Titles"], *(answer["Processes"] or ())]
    sys.stdout.write(output.table(rows, min_width=TOP_MIN_WIDTH))


@command("CONTAINER [PRIVATE_PORT[/PROTO]] | add|rm CONTAINER PORT...", least=1, most=None)
@option("--from", "sources", split=True, help="Of add: who may come (CIDR; all others may not)")
def port(args: tuple[str, ...], sources: tuple[str, ...]) -> None:
    if len(args) > 2:
        from fairlead.cli.live_ports import change

        change(*args, sources=sources)
        return
    if sources:
        raise Refused("Error: --from goes with `port add`")
    container = args[0]
    settings = remote().get(f"/containers/{name(container)}/json")["NetworkSettings"]
    published = settings.get("Ports") or {}
    if len(args) == 1:
        sys.stdout.write("".join(f"{line}\n" for line in listed(published)))
        return
    number, _, protocol = args[1].partition("/")
    bindings = published.get(f"{number}/{protocol or 'tcp'}")
    if not bindings:
        raise Refused(f"Error: No public port '{args[1]}' published for {container}")
    sys.stdout.write("".join(f"{bound(binding)}\n" for binding in bindings))


@command("CONTAINER", least=1, most=1)
def diff(args: tuple[str, ...]) -> None:
    changes = remote().get(f"/containers/{name(args[0])}/changes") or ()
    sys.stdout.write("".join(f"{CHANGES[each['Kind']]} {each['Path']}\n" for each in changes))


@command()
@flag("-f", "--force", help="Do not prompt for confirmation")
@option(
    "--filter", many=True, parse=filter_pair, help='Provide filter values ("until=<timestamp>")'
)
def prune(
    args: tuple[str, ...],
    force: bool,
    filter: tuple[tuple[str, str], ...],
) -> None:
    if not force and not confirmed("This will remove all stopped containers."):
        return
    answer = remote().post("/containers/prune", filters=filters(filter))
    gone = answer.get("ContainersDeleted") or ()
    if gone:
        sys.stdout.write("".join(["Deleted Containers:\n", *(f"{each}\n" for each in gone), "\n"]))
    size = output.decimal_size(answer.get("SpaceReclaimed") or 0, digits=4)
    sys.stdout.write(f"Total reclaimed space: {size}\n")
