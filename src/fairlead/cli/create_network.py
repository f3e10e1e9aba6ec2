"""The networks of a container to be created: --network and the older flags beside it. Pure.

``--network`` takes a name, or ``name=,alias=,ip=,…`` and may be given several
times; the older flags (--ip, --network-alias, …) speak of the first network and
may not contradict it.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAC = re.compile(r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$")
BUILT_IN = frozenset({"default", "bridge", "host", "none"})

# A flag, the same in --network's long syntax, and what both are called in a refusal.
RIVALS = (
    ("network_alias", "alias", "--network-alias and per-network alias"),
    ("link", "link", "--link and per-network links"),
    ("ip", "ip", "--ip and per-network IPv4 address"),
    ("ip6", "ip6", "--ip6 and per-network IPv6 address"),
    ("mac_address", "mac-address", "--mac-address and per-network MAC address"),
    ("link_local_ip", "link-local-ip", "--link-local-ip and per-network link-local IP addresses"),
)
LISTS = frozenset({"alias", "link", "link-local-ip", "driver-opt"})
SINGLE = frozenset({"name", "ip", "ip6", "mac-address", "gw-priority"})

Attachment = dict[str, Any]


def attachment(text: str) -> Attachment:
    """One --network option."""
    if "=" not in text:
        return {"name": text}
    made: Attachment = {}
    for part in next(csv.reader([text]), []):
        key, equals, value = part.partition("=")
        key, value = key.strip().lower(), value.strip().lower()
        if not equals:
            raise ValueError(f"invalid field {part} must be a key=value pair")
        if key in LISTS:
            made.setdefault(key, []).append(value)
        elif key in SINGLE:
            made[key] = value
        else:
            raise ValueError(f"invalid field key {key}")
    if not made.get("name"):
        raise ValueError("network name/id is not specified")
    _check_numbers(made)
    return made


def _check_numbers(made: Attachment) -> None:
    priority = made.get("gw-priority")
    if priority is not None:
        try:
            made["gw-priority"] = int(priority)
        except ValueError:
            raise ValueError(f"invalid gw-priority ({priority}): invalid syntax") from None
    made["driver-opt"] = dict(_option(each) for each in made.get("driver-opt", ()))


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("invalid key value pair format in driver options")
    return key.strip(), value.strip()


def mac(text: str) -> str:
    """A hardware address, or a refusal."""
    if text and not MAC.match(text):
        raise ValueError(f"{text} is not a valid mac address")
    return text


def networking(
    given: Sequence[Attachment], flags: Mapping[str, Any]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """The network mode and the endpoint of each network."""
    mac(flags["mac_address"])
    attachments = list(given) or [{"name": "default"}]
    attachments[0] = _with_flags(attachments[0], flags)
    endpoints: dict[str, dict[str, Any]] = {}
    for each in attachments:
        if not each["name"].strip():
            raise ValueError("no name set for network")
        if each["name"] in endpoints:
            raise ValueError(f'network "{each["name"]}" is specified multiple times')
        endpoints[each["name"]] = _endpoint(each)
    if len({is_user_defined(name) for name in endpoints}) > 1:
        raise ValueError(
            "conflicting options: cannot attach both user-defined and non-user-defined "
            "network-modes"
        )
    if not any(endpoints.values()) and len(endpoints) == 1:
        # Nothing is said about the only network but its name, which is the mode.
        endpoints = {}
    return attachments[0]["name"], endpoints


def _with_flags(first: Attachment, flags: Mapping[str, Any]) -> Attachment:
    made = dict(first)
    for flag, key, both in RIVALS:
        if not flags[flag]:
            continue
        if made.get(key):
            raise ValueError(f"conflicting options: cannot specify both {both}")
        # Links to containers on the default bridge are a matter of the host's configuration.
        if flag != "link" or is_user_defined(first["name"]):
            made[key] = flags[flag]
    return made


def _endpoint(each: Attachment) -> dict[str, Any]:
    if not is_user_defined(each["name"]):
        if each.get("alias"):
            raise ValueError("network-scoped aliases are only supported for user-defined networks")
        if each.get("link"):
            raise ValueError("links are only supported for user-defined networks")
    ipam = {
        "IPv4Address": each.get("ip"),
        "IPv6Address": each.get("ip6"),
        "LinkLocalIPs": list(each.get("link-local-ip") or ()),
    }
    made = {
        "IPAMConfig": {key: value for key, value in ipam.items() if value},
        "Links": list(each.get("link") or ()),
        "Aliases": list(each.get("alias") or ()),
        "MacAddress": each.get("mac-address"),
        "DriverOpts": each.get("driver-opt"),
        "GwPriority": each.get("gw-priority"),
    }
    return {key: value for key, value in made.items() if value}


def is_user_defined(name: str) -> bool:
    """Whether a network is one somebody created."""
    return name not in BUILT_IN and not name.startswith("container:")
