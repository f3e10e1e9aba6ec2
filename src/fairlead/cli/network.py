"""`fairlead network`: list, remove, connect, disconnect, prune."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.listing import Column, Listing, filter_pair, filters, label_of, labelled
from fairlead.cli.output import short_id
from fairlead.cli.prompt import confirmed
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each
from fairlead.cli.values import link, whole
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping


NOT_FOUND = 404


def listing(*, full: bool) -> Listing:
    """What `network ls` can show."""
    return Listing(
        {
            "ID": Column("NETWORK ID", lambda net: net["Id"] if full else short_id(net["Id"])),
            "Name": Column("NAME", lambda net: net["Name"]),
            "Driver": Column("DRIVER", lambda net: net["Driver"]),
            "Scope": Column("SCOPE", lambda net: net["Scope"]),
            "CreatedAt": Column("CREATED AT", lambda net: _created(net.get("Created") or "")),
            "IPv4": Column("IPV4", lambda net: _word(net.get("EnableIPv4"))),
            "IPv6": Column("IPV6", lambda net: _word(net.get("EnableIPv6"))),
            "Internal": Column("INTERNAL", lambda net: _word(net.get("Internal"))),
            "Label": Column("LABEL", label_of),
            "Labels": Column("LABELS", labelled),
        },
        ("ID", "Name", "Driver", "Scope"),
    )


@command()
@flag("-q", "--quiet", help="Only display network IDs")
@flag("--no-trunc", help="Do not truncate the output")
@option("-f", "--filter", many=True, parse=filter_pair, help="Provide filter values")
@option("--format", default="", help="Format output using a custom template")
def ls(
    args: tuple[str, ...],
    quiet: bool,
    no_trunc: bool,
    filter: tuple[tuple[str, str], ...],
    format: str,
) -> None:
    nets = remote().get("/networks", filters=filters(filter)) or []
    nets.sort(key=lambda net: natural(net["Name"]))
    listing(full=no_trunc).show(nets, quiet=quiet, format=format)


@command("NETWORK [NETWORK...]", least=1, most=None)
@flag("-f", "--force", help="Do not error if the network does not exist")
@flag("--dry-run", help="Print what would be undone, and change nothing")
def rm(args: tuple[str, ...], force: bool, dry_run: bool) -> int:
    daemon = remote()

    def one(ref: str) -> str | None:
        try:
            answer = daemon.delete(f"/networks/{name(ref)}", dry_run=dry_run or None)
        except ApiError as error:
            if force and error.status == NOT_FOUND:
                return None
            raise
        return plan_text(answer) if dry_run else ref

    return each(args, one)


@command("NETWORK CONTAINER", least=2, most=2)
@option("--ip", default="", help='IPv4 address (e.g., "172.30.100.104")')
@option("--ip6", default="", help='IPv6 address (e.g., "2001:db8::33")')
@option("--link-local-ip", split=True, help="Add a link-local address for the container")
@option("--link", many=True, parse=link, help="Add link to another container")
@option("--alias", split=True, help="Add network-scoped alias for the container")
@option("--driver-opt", split=True, help="Driver options for the network")
@option("--gw-priority", default=0, parse=whole, help="Highest gw-priority is the default gateway")
@flag("--dry-run", help="Print what would be made, and change nothing")
def connect(args: tuple[str, ...], dry_run: bool, **flags: Any) -> None:
    network, container = args
    answer = remote().post(
        f"/networks/{name(network)}/connect",
        {"Container": container, "EndpointConfig": endpoint_config(flags)},
        dry_run=dry_run or None,
    )
    if dry_run:
        sys.stdout.write(plan_text(answer) + "\n")


@command("NETWORK CONTAINER", least=2, most=2)
@flag("-f", "--force", help="Force the container to disconnect from a network")
def disconnect(args: tuple[str, ...], force: bool) -> None:
    network, container = args
    remote().post(f"/networks/{name(network)}/disconnect", {"Container": container, "Force": force})


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
    warning = "This will remove all custom networks not used by at least one container."
    if not force and not confirmed(warning):
        return
    gone = remote().post("/networks/prune", filters=filters(filter)).get("NetworksDeleted") or []
    if gone:
        sys.stdout.write("\n".join(["Deleted Networks:", *gone, "", ""]))


def endpoint_config(flags: Mapping[str, Any]) -> dict[str, Any]:
    """What connect's flags say about the endpoint."""
    ipam = {
        "IPv4Address": flags["ip"],
        "IPv6Address": flags["ip6"],
        "LinkLocalIPs": list(flags["link_local_ip"]),
    }
    made = {
        "IPAMConfig": {key: value for key, value in ipam.items() if value},
        "Links": list(flags["link"]),
        "Aliases": [alias for alias in flags["alias"] if alias],
        "DriverOpts": dict(_driver_option(text) for text in flags["driver_opt"]),
        "GwPriority": flags["gw_priority"],
    }
    return {key: value for key, value in made.items() if value}


def _driver_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Refused("invalid key/value pair format in driver options")
    return key, value


def plan_text(answer: Any) -> str:
    """The lines of a dry run."""
    return "\n".join((answer or {}).get("Plan") or [])


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key that counts: net2 before net10."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _word(value: Any) -> str:
    return "true" if value else "false"


def _created(stamp: str) -> str:
    """A UTC time of the API as Go prints it."""
    return stamp.replace("T", " ").removesuffix("Z") + " +0000 UTC" if stamp else ""
