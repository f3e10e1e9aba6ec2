"""`fairlead network create`: its options, and the checks Docker's client makes itself. Pure
but for the one call; the daemon checks everything again."""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, Any

from fairlead.cli.command import Refused, command, flag, option
from fairlead.cli.network import plan_text
from fairlead.cli.remote import remote
from fairlead.cli.values import label, pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


@command("NETWORK", least=1, most=1)
@option("-d", "--driver", default="bridge", help='Driver to manage the Network (default "bridge")')
@option("-o", "--opt", many=True, parse=pair, help="Set driver specific options")
@option("--label", many=True, parse=label, help="Set metadata on a network")
@flag("--internal", help="Restrict external access to the network")
@flag("--ipv4", default=None, help="Enable or disable IPv4 address assignment (default true)")
@flag("--ipv6", default=None, help="Enable or disable IPv6 address assignment")
@flag("--attachable", help="Enable manual container attachment")
@flag("--ingress", help="Create swarm routing-mesh network")
@option("--scope", default="", help="Control the network's scope")
@flag("--config-only", help="Create a configuration only network")
@option("--config-from", default="", help="The network from which to copy the configuration")
@option("--ipam-driver", default="default", help='IP Address Management Driver (default "default")')
@option("--subnet", split=True, help="Subnet in CIDR format that represents a network segment")
@option("--ip-range", split=True, help="Allocate container ip from a sub-range")
@option("--gateway", split=True, help="IPv4 or IPv6 Gateway for the master subnet")
@option("--aux-address", many=True, parse=pair, help="Auxiliary addresses used by Network driver")
@option("--ipam-opt", many=True, parse=pair, help="Set IPAM driver specific options")
@flag("--dry-run", help="Print what would be made, and change nothing")
def create(args: tuple[str, ...], dry_run: bool, **flags: Any) -> None:
    answer = remote().post("/networks/create", body(args[0], flags), dry_run=dry_run or None)
    sys.stdout.write((plan_text(answer) if dry_run else answer["Id"]) + "\n")
    if answer.get("Warning"):
        sys.stderr.write(f"WARNING: {answer['Warning']}\n")


def body(network: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The request the flags describe."""
    made: dict[str, Any] = {
        "Name": network,
        "Driver": flags["driver"],
        "Scope": flags["scope"],
        "Internal": flags["internal"],
        "Attachable": flags["attachable"],
        "Ingress": flags["ingress"],
        "ConfigOnly": flags["config_only"],
        "Options": dict(flags["opt"]),
        "Labels": dict(flags["label"]),
        "IPAM": {
            "Driver": flags["ipam_driver"],
            "Options": dict(flags["ipam_opt"]),
            "Config": pools(
                flags["subnet"], flags["ip_range"], flags["gateway"], flags["aux_address"]
            ),
        },
    }
    for key, name in (("EnableIPv4", "ipv4"), ("EnableIPv6", "ipv6")):
        if flags[name] is not None:
            made[key] = flags[name]
    if flags["config_from"]:
        made["ConfigFrom"] = {"Network": flags["config_from"]}
    return made


def pools(
    subnets: Sequence[str],
    ranges: Sequence[str],
    gateways: Sequence[str],
    auxiliary: Iterable[tuple[str, str]],
) -> list[dict[str, Any]]:
    """One IPAM block a subnet, with the range, gateway and addresses that lie in it."""
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise Refused("every ip-range or gateway must have a corresponding subnet")
    made: dict[str, dict[str, Any]] = {}
    for text in subnets:
        if any(_overlap(text, other) for other in made):
            raise Refused("multiple overlapping subnet configuration is not supported")
        made[text] = {"Subnet": text}
    for text in ranges:
        block = _block(made, _first_address(text), f"no matching subnet for range {text}")
        if "IPRange" in block:
            raise Refused(
                f"cannot configure multiple ranges ({text}, {block['IPRange']}) on the "
                f"same subnet ({block['Subnet']})"
            )
        block["IPRange"] = text
    for text in gateways:
        block = _block(made, text, f"no matching subnet for gateway {text}")
        if "Gateway" in block:
            raise Refused(
                f"cannot configure multiple gateways ({text}, {block['Gateway']}) for "
                f"the same subnet ({block['Subnet']})"
            )
        block["Gateway"] = text
    for name, text in auxiliary:
        block = _block(made, text, f"no matching subnet for aux-address {text}")
        block.setdefault("AuxiliaryAddresses", {})[name] = text
    return list(made.values())


def _block(made: Mapping[str, dict[str, Any]], address: str, otherwise: str) -> dict[str, Any]:
    """The block whose subnet holds an address."""
    for text, block in made.items():
        if _holds(text, address):
            return block
    raise Refused(otherwise)


def _first_address(text: str) -> str:
    address, slash, _ = text.partition("/")
    if not slash or _network(text) is None:
        raise Refused(f"invalid CIDR address: {text}")
    return address


def _holds(subnet: str, address: str) -> bool:
    net = _network(subnet)
    if net is None:
        return False
    try:
        # A prefix behind the address is for the daemon to refuse.
        return ipaddress.ip_address(address.partition("/")[0]) in net
    except ValueError:
        return False


def _overlap(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    return first is not None and second is not None and _either_in(first, second)


def _either_in(first: Subnet, second: Subnet) -> bool:
    return second.network_address in first or first.network_address in second


def _network(text: str) -> Subnet | None:
    """The network, its host bits cut off; None is left for the daemon to refuse."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
