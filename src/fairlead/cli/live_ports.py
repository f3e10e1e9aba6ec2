"""`fairlead port add` and `fairlead port rm`: the ports of a container that lives."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairlead.cli import ports
from fairlead.cli.command import Refused
from fairlead.cli.remote import name, remote

METHODS = {"add": "POST", "rm": "DELETE", "remove": "DELETE"}


def change(verb: str, container: str, *specs: str, sources: tuple[str, ...] = ()) -> None:
    """Publish a container on ports, or take them back; prints what is published then.

    Only who is in one of `sources` may come to those that are published, if there are any.
    """
    if verb not in METHODS:
        context = click.get_current_context()
        path = context.command_path
        raise Refused(
            f"fairlead: '{path}' requires at least 1 and at most 2 arguments", usage=context
        )
    try:
        _, bindings = ports.published(specs)
    except ValueError as error:
        raise Refused(f"Error: {error}") from error
    if sources and METHODS[verb] != "POST":
        raise Refused("Error: --from goes with `port add`")
    asked: dict[str, list[dict[str, Any]]] = {
        key: [{**host, "Sources": list(sources)} if sources else dict(host) for host in hosts]
        for key, hosts in bindings.items()
    }
    path = f"/fairlead/containers/{name(container)}/ports"
    found: dict[str, Any] = remote().ask(METHODS[verb], path, body={"PortBindings": asked})
    sys.stdout.write("".join(f"{line}\n" for line in ports.listed(found["Ports"])))
