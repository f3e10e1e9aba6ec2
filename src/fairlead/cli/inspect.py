"""`fairlead inspect`: everything the daemon knows about an object, or a part of it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.remote import image_name, name, remote
from fairlead.cli.report import reported
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fairlead.cli.remote import Remote

    Look = Callable[[Remote, str], Any]

BAD_TEMPLATE_STATUS = 64
NOT_FOUND = 404


def _container(daemon: Remote, ref: str, *, size: bool = False) -> Any:
    return daemon.get(f"/containers/{name(ref)}/json", size=1 if size else None)


def _image(daemon: Remote, ref: str) -> Any:
    return daemon.get(f"/images/{image_name(ref)}/json")


def _network(daemon: Remote, ref: str, *, verbose: bool = False) -> Any:
    return daemon.get(f"/networks/{name(ref)}", verbose="true" if verbose else None)


def _volume(daemon: Remote, ref: str) -> Any:
    return daemon.get(f"/volumes/{name(ref)}")


KINDS: dict[str, Look] = {
    "container": _container,
    "image": _image,
    "network": _network,
    "volume": _volume,
}


class Moment(str):
    """A time of the API, which a template shows as Go does."""

    __slots__ = ()

    def __str__(self) -> str:
        stamp = str.__str__(self)
        return stamp.replace("T", " ").removesuffix("Z") + " +0000 UTC"


@command("CONTAINER [CONTAINER...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
@flag("-s", "--size", help="Display total file sizes")
def container(args: tuple[str, ...], format: str, size: bool) -> int:
    return shown(args, lambda daemon, ref: _container(daemon, ref, size=size), format)


@command("IMAGE [IMAGE...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
@option("--platform", hidden=True)
def image(args: tuple[str, ...], format: str, platform: str | None) -> int:
    return shown(args, _image, format)


@command("NETWORK [NETWORK...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
@flag("-v", "--verbose", help="Verbose output for diagnostics")
def network(args: tuple[str, ...], format: str, verbose: bool) -> int:
    def look(daemon: Remote, ref: str) -> Any:
        found = _network(daemon, ref, verbose=verbose)
        if found.get("Created"):
            found["Created"] = Moment(found["Created"])
        return found

    return shown(args, look, format)


@command("VOLUME [VOLUME...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
def volume(args: tuple[str, ...], format: str) -> int:
    return shown(args, _volume, format)


@command("NAME|ID [NAME|ID...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
@flag("-s", "--size", help="Display total file sizes if the type is container")
@option("--type", default="", help="Only inspect objects of the given type")
def anything(args: tuple[str, ...], format: str, size: bool, type: str) -> int:
    if type and type not in KINDS:
        raise Refused(f'"{type}" is not a valid value for --type')
    kinds = [type] if type else list(KINDS)

    def look(daemon: Remote, ref: str) -> Any:
        for kind in kinds:
            try:
                if kind == "container":
                    return _container(daemon, ref, size=size)
                return KINDS[kind](daemon, ref)
            except ApiError as error:
                if error.status != NOT_FOUND or type:
                    raise
        raise Refused(f"Error: No such object: {ref}")

    return shown(args, look, format)


def shown(refs: Sequence[str], look: Look, format: str) -> int:
    """Print each object, all of them as one JSON list unless a template says otherwise."""
    render = _renderer(format)
    daemon, found, failed = remote(), [], None
    for ref in refs:
        try:
            found.append(look(daemon, ref))
        except (ApiError, Refused) as error:
            failed = failed or error
            # Like Docker: what was found is shown, what was not is said, in that order.
            break_off = not isinstance(error, Refused) and error.status != NOT_FOUND
            if break_off:
                break
    sys.stdout.write(render(found))
    sys.stdout.flush()
    if isinstance(failed, Refused):
        raise failed
    return reported(failed) if failed is not None else 0


def _renderer(format: str) -> Callable[[list[Any]], str]:
    if not format:
        return lambda found: json.dumps(found, indent=4, ensure_ascii=False) + "\n"
    if format == "json":
        return lambda found: json.dumps(found, separators=(",", ":"), ensure_ascii=False) + "\n"
    from fairlead.cli import template

    try:
        made = template.parsed(format.replace("\\t", "\t").replace("\\n", "\n"))
    except template.TemplateError as error:
        raise Refused(str(error), status=BAD_TEMPLATE_STATUS) from error
    return lambda found: "".join(f"{made.render(each)}\n" for each in found) or "\n"
