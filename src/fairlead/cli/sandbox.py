"""`fairlead sandbox`: network namespaces on the daemon's networks, without a container."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli import ports
from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.inspect import shown
from fairlead.cli.listing import Column, Listing
from fairlead.cli.network import endpoint_config, plan_text
from fairlead.cli.output import short_id
from fairlead.cli.remote import name, remote
from fairlead.cli.several import each
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.cli.remote import Remote

    Callback = Callable[..., int | None]

BASE = "/fairlead/sandboxes"


def listing(*, full: bool) -> Listing:
    """What `sandbox ls` can show."""
    return Listing(
        {
            "ID": Column("SANDBOX ID", lambda box: box["Id"] if full else short_id(box["Id"])),
            "Name": Column("NAME", lambda box: box["Name"]),
            "Namespace": Column("NAMESPACE", lambda box: box["Adopted"] or "its own"),
            "Networks": Column("NETWORKS", lambda box: ",".join(box["Networks"])),
            "Addresses": Column("ADDRESSES", lambda box: ",".join(_addresses(box))),
            "Ports": Column("PORTS", lambda box: ports.shown(box["Ports"])),
            "CreatedAt": Column("CREATED AT", lambda box: box["Created"]),
        },
        ("ID", "Name", "Namespace", "Networks", "Addresses", "Ports"),
    )


def _addresses(box: Mapping[str, Any]) -> list[str]:
    """Every address, without its prefix."""
    return [
        family["Address"].partition("/")[0]
        for end in box["Networks"].values()
        for family in (end["IPv4"], end["IPv6"])
        if family["Address"]
    ]


def _new(function: Callback) -> Callback:
    """The options of `create` and `adopt` alike."""
    for made in (
        option("-p", "--publish", many=True, help="Publish ports of the sandbox to the host"),
        option("--alias", split=True, help="Add network-scoped alias for the sandbox"),
        option("--ip6", default="", help='IPv6 address (e.g., "2001:db8::33")'),
        option("--ip", default="", help='IPv4 address (e.g., "172.30.100.104")'),
        option("--network", default="", help="Join the sandbox to a network"),
        option("--dns-option", many=True, help="Set DNS options"),
        option("--dns-search", many=True, help="Set custom DNS search domains"),
        option("--dns", many=True, help="Set custom DNS servers"),
        option("--domainname", default="", help="Sandbox NIS domain name"),
        option("-h", "--hostname", default="", help="What the sandbox calls itself"),
    ):
        function = made(function)
    return function


@command("SANDBOX", least=1, most=1)
@_new
def create(args: tuple[str, ...], **flags: Any) -> None:
    _made(remote(), _body(args[0], flags))


@command("SANDBOX [NAMESPACE]", least=1, most=2)
@option("--pid", default=None, parse=int, help="Adopt the namespace of a process")
@_new
def adopt(args: tuple[str, ...], pid: int | None, **flags: Any) -> None:
    if (pid is None) is (len(args) == 1):
        raise Refused("name the namespace to adopt: a name of `ip netns`, a path, or --pid")
    body = _body(args[0], flags)
    if pid is not None:
        body["Pid"] = pid
    else:
        # The daemon looks from another folder.
        body["Namespace"] = os.path.abspath(args[1]) if "/" in args[1] else args[1]
    _made(remote(), body)


def _body(box: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    config = {
        "IPAMConfig": {
            key: value
            for key, value in (("IPv4Address", flags["ip"]), ("IPv6Address", flags["ip6"]))
            if value
        },
        "Aliases": list(flags["alias"]),
    }
    if not flags["network"] and any(config.values()):
        raise Refused("--ip, --ip6 and --alias are of a place on a network: name it with --network")
    return {
        "Name": box,
        "Hostname": flags["hostname"],
        "Domainname": flags["domainname"],
        "Dns": list(flags["dns"]),
        "DnsSearch": list(flags["dns_search"]),
        "DnsOptions": list(flags["dns_option"]),
        "Networks": {flags["network"]: config} if flags["network"] else {},
        "Ports": list(flags["publish"]),
    }


def _made(daemon: Remote, body: Mapping[str, Any]) -> None:
    sys.stdout.write(_asked(daemon, "POST", "", body)["Id"] + "\n")


@command("SANDBOX NETWORK", least=2, most=2)
@option("--ip", default="", help='IPv4 address (e.g., "172.30.100.104")')
@option("--ip6", default="", help='IPv6 address (e.g., "2001:db8::33")')
@option("--link-local-ip", split=True, help="Add a link-local address for the sandbox")
@option("--link", many=True, help="Add link to another sandbox or container")
@option("--alias", split=True, help="Add network-scoped alias for the sandbox")
@option("--driver-opt", split=True, help="Driver options for the network")
@option("--gw-priority", default=0, parse=int, help="Highest gw-priority is the default gateway")
@flag("--dry-run", help="Print what would be made, and change nothing")
def join(args: tuple[str, ...], dry_run: bool, **flags: Any) -> None:
    box, network = args
    body = {"Network": network, "EndpointConfig": endpoint_config(flags)}
    answer = _asked(remote(), "POST", f"/{name(box)}/join", body, dry_run=dry_run or None)
    if dry_run:
        sys.stdout.write(plan_text(answer) + "\n")


@command("SANDBOX NETWORK", least=2, most=2)
def leave(args: tuple[str, ...]) -> None:
    _asked(remote(), "POST", f"/{name(args[0])}/leave", {"Network": args[1]})


@command("SANDBOX PORT [PORT...]", least=2, most=None)
@option("--from", "sources", split=True, help="Who may come (CIDR; all others may not)")
def publish(args: tuple[str, ...], sources: tuple[str, ...]) -> None:
    body = {"Ports": args[1:], "Sources": list(sources)}
    _show_ports(_asked(remote(), "POST", f"/{name(args[0])}/publish", body))


@command("SANDBOX PORT [PORT...]", least=2, most=None)
def unpublish(args: tuple[str, ...]) -> None:
    _show_ports(_asked(remote(), "POST", f"/{name(args[0])}/unpublish", {"Ports": args[1:]}))


def _show_ports(answer: Mapping[str, Any]) -> None:
    for port in answer["Ports"]:
        host = f"[{port['IP']}]" if ":" in port["IP"] else port["IP"]
        outside = f"{host}:{port['PublicPort']}"
        sys.stdout.write(f"{port['PrivatePort']}/{port['Type']} -> {outside}\n")


@command()
@flag("-q", "--quiet", help="Only display sandbox IDs")
@flag("--no-trunc", help="Do not truncate the output")
@option("--format", default="", help="Format output using a custom template")
def ls(args: tuple[str, ...], quiet: bool, no_trunc: bool, format: str) -> None:
    boxes = _asked(remote(), "GET", "") or []
    listing(full=no_trunc).show(boxes, quiet=quiet, format=format)


@command("SANDBOX [SANDBOX...]", least=1, most=None)
@option("-f", "--format", default="", help="Format output using a custom template")
def inspect(args: tuple[str, ...], format: str) -> int:
    return shown(args, lambda daemon, ref: _asked(daemon, "GET", f"/{name(ref)}"), format)


@command("SANDBOX COMMAND [ARG...]", least=2, most=None, interspersed=False)
def execute(args: tuple[str, ...]) -> int:
    from fairlead.library import enter

    daemon = remote()
    box = _asked(daemon, "GET", f"/{name(args[0])}")
    if not os.path.exists(box["SandboxKey"]):
        raise Refused(
            f"sandbox {box['Name']} is on another host: {daemon.host}",
            hint="run this there, or as one who may see " + box["SandboxKey"],
        )
    try:
        enter.enter(box["SandboxKey"], os.path.dirname(box["HostsPath"]))
    except PermissionError as error:
        raise Refused("a sandbox can be entered by root only", hint="use sudo") from error
    sys.stdout.flush()
    return enter.become(list(args[1:]))


@command("SANDBOX [SANDBOX...]", least=1, most=None)
def rm(args: tuple[str, ...]) -> int:
    daemon = remote()

    def one(ref: str) -> str:
        _asked(daemon, "DELETE", f"/{name(ref)}")
        return ref

    return each(args, one)


def _asked(daemon: Remote, method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Ask the daemon, which may be one that has no such thing."""
    try:
        return daemon.ask(method, BASE + path, query=query, body=body)
    except ApiError as error:
        if "page not found" in error.message:
            raise Refused(
                f"the daemon at {daemon.host} is not fairlead and has no sandboxes",
                hint="name fairlead's socket with -H or FAIRLEAD_HOST",
            ) from error
        raise
