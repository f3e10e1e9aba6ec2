"""The daemon's settings as values: one reader a key, from JSON or a flag's text. Pure.

A reader takes the key, for its words, and what was given, and returns the
value or raises Invalid in one line that names both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Network, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from fairlead.cli.values import size_bytes
from fairlead.ipam.pool import DEFAULT_BASES, Base
from fairlead.model.container import Ulimit
from fairlead.model.errors import FairleadError, Invalid
from fairlead.model.options import bridge_options, interface_name
from fairlead.model.state import IPAddress, IPNetwork

LEVELS = {
    "panic": "critical",
    "fatal": "critical",
    "error": "error",
    "warn": "warning",
    "info": "info",
    "debug": "debug",
    "trace": "debug",
}
"""dockerd's levels and ours."""
FORMATS = ("text", "json")
NetworkOpts = Mapping[str, Mapping[str, str]]
"""Default options of networks, by driver."""


def text(key: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text, not {json.dumps(value)}")
    return value


def flag(key: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false, not {json.dumps(value)}")
    return value


def number(key: str, value: Any) -> int:
    """A number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{key} must be a number, not {json.dumps(value)}")
    if value < 0:
        raise Invalid(f"{key} must not be negative, not {value}")
    return value


def mtu(key: str, value: Any) -> int:
    """A size of packets in bytes; 0: that of the host's way out."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{key} must be a number, not {json.dumps(value)}")
    if value and not 68 <= value <= 65535:
        raise Invalid(f"{key} must be between 68 and 65535, not {value}")
    return value


def texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of texts; a single one is a list of one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise Invalid(f"{key} must be a list of texts, not {json.dumps(value)}")
    return tuple(text(key, item) for item in values)


def address(key: str, value: Any) -> IPAddress:
    """An IP address."""
    try:
        return ip_address(text(key, value))
    except ValueError:
        raise Invalid(f"{key}: {value!r} is no IP address") from None


def address4(key: str, value: Any) -> IPAddress:
    """An IPv4 address."""
    return _of_family(key, address(key, value), 4)


def address6(key: str, value: Any) -> IPAddress:
    """An IPv6 address."""
    return _of_family(key, address(key, value), 6)


def _of_family(key: str, found: IPAddress, version: int) -> IPAddress:
    if found.version != version:
        raise Invalid(f"{key}: {found} is no IPv{version} address")
    return found


def addresses(key: str, value: Any) -> tuple[str, ...]:
    """IP addresses, as texts."""
    return tuple(str(address(key, item)) for item in texts(key, value))


def host_gateways(key: str, value: Any) -> tuple[str, ...]:
    """At most one address of each family."""
    found = [address(key, item) for item in texts(key, value)]
    for version in (4, 6):
        if sum(a.version == version for a in found) > 1:
            raise Invalid(
                f"only one IPv{version} host gateway IP address can be specified, not {value}"
            )
    return tuple(str(a) for a in found)


def interface_address(version: int) -> Callable[[str, Any], str]:
    """A reader of an address with its prefix length, in one family."""

    def read(key: str, value: Any) -> str:
        example = "172.17.0.1/16" if version == 4 else "2001:db8::1/64"
        hint = f'give an IPv{version} address with its prefix: "{example}"'
        try:
            found = ip_interface(text(key, value))
        except ValueError:
            raise Invalid(f"invalid {key} {value!r}", hint=hint) from None
        if "/" not in value or found.version != version:
            raise Invalid(f"invalid {key} {value!r}", hint=hint)
        if found.ip == found.network.network_address and found.network.num_addresses > 2:
            raise Invalid(f"invalid {key} {value!r}: it is the subnet's own address", hint=hint)
        return str(value)

    return read


def network4(key: str, value: Any) -> IPNetwork:
    """An IPv4 subnet."""
    return _subnet(key, value, 4)


def network6(key: str, value: Any) -> IPNetwork:
    """An IPv6 subnet that bridges can have."""
    found = _subnet(key, value, 6)
    if found.is_multicast or found.overlaps(IPv6Network("fe80::/10")):
        raise Invalid(f"{key}: {value!r} holds addresses that are not for a network")
    return found


def _subnet(key: str, value: Any, version: int) -> IPNetwork:
    try:
        found = ip_network(text(key, value), strict=False)
    except ValueError:
        raise Invalid(f"{key}: {value!r} is no subnet") from None
    if found.version != version:
        raise Invalid(f"{key}: {value!r} is no IPv{version} subnet")
    return found


def interface(key: str, value: Any) -> str:
    """The name of an interface."""
    return interface_name(text(key, value), key)


def prefix(key: str, value: Any) -> str:
    """What the names of chains begin with."""
    found = text(key, value)
    if not found.isascii() or not found.replace("-", "").isalnum() or len(found) > 9:
        raise Invalid(f"{key}: {found!r} must be at most 9 letters, digits or dashes")
    return found.upper()


def one_of(*allowed: str) -> Callable[[str, Any], str]:
    """A reader of one of a few words."""

    def read(key: str, value: Any) -> str:
        if value not in allowed:
            raise Invalid(f"{key}: {value!r} is not one of {', '.join(allowed)}")
        return str(value)

    return read


def level(key: str, value: Any) -> str:
    """How much is logged."""
    if text(key, value).lower() not in LEVELS:
        raise Invalid(f"invalid logging level: {value}", hint=f"one of {', '.join(LEVELS)}")
    return str(value).lower()


def log_format(key: str, value: Any) -> str:
    """What the lines of the log look like."""
    if value not in FORMATS:
        raise Invalid(f"invalid log format: {value}", hint="text or json")
    return str(value)


def fwmark(key: str, value: Any) -> tuple[int, int] | None:
    """A firewall mark and its mask, which is all of it unless given: ``0x1/0xff``."""
    if not text(key, value):
        return None
    mark, slash, mask = value.partition("/")
    found = _unsigned(mark), _unsigned(mask) if slash else 0xFFFFFFFF
    if found[0] is None or found[1] is None:
        raise Invalid(f"{key}: invalid firewall mark {value!r}", hint="MARK or MARK/MASK, 32 bits")
    return found[0], found[1]


def _unsigned(word: str) -> int | None:
    try:
        value = int(word, 0)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 32 else None


def cgroup(key: str, value: Any) -> str:
    """The path of a control group."""
    name = text(key, value)
    if ".." in name.split("/") or not name.strip("/"):
        raise Invalid(
            f"{key}: {name!r} is no path of a control group", hint='for example "/fairlead"'
        )
    return f"/{name.strip('/')}"


def path(key: str, value: Any) -> Path:
    """A path, made absolute."""
    return Path(text(key, value)).absolute()


def pools(key: str, value: Any) -> tuple[Base, ...]:
    """Ranges that networks get their subnets from: objects, or ``base=…,size=…``."""
    found: list[Base] = []
    for item in value if isinstance(value, list | tuple) else [value]:
        pool = item
        if isinstance(item, str):
            pool = dict(part.partition("=")[::2] for part in item.split(","))
        try:
            base = Base(ip_network(pool["base"]), int(pool["size"]))
        except (KeyError, TypeError, ValueError):
            raise Invalid(f"{key}: {json.dumps(item)} needs a base subnet and a size") from None
        if not base.range.prefixlen <= base.size <= base.range.max_prefixlen:
            raise Invalid(f"{key}: a pool of /{base.size} does not fit into {base.range}")
        for other in found:
            if other.range.version == base.range.version and other.range.overlaps(base.range):
                raise Invalid(f"{key}: {base.range} overlaps {other.range}")
        found.append(base)
    return tuple(found) or DEFAULT_BASES


def network_opts(key: str, value: Any) -> NetworkOpts:
    """Default options by driver: objects, or ``driver=key=value``."""
    found: dict[str, dict[str, str]] = {}
    if isinstance(value, Mapping):
        for driver, options in value.items():
            if not isinstance(options, Mapping):
                raise Invalid(f"{key}: {driver} needs an object, not {json.dumps(options)}")
            found[driver] = {name: text(f"{key} {name}", v) for name, v in options.items()}
    else:
        for item in texts(key, value):
            driver, first, rest = item.partition("=")
            name, second, setting = rest.partition("=")
            if not (driver and first and name and second):
                raise Invalid(f"{key}: {item!r} is not of the form driver=option=value")
            found.setdefault(driver, {})[name] = setting
    try:
        bridge_options(found.get("bridge", {}))
    except FairleadError as error:
        raise Invalid(f"{key}: {error.message}", hint=error.hint) from error
    return found


def size(key: str, value: Any) -> int:
    """A size in bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return size_bytes(text(key, value))
    except ValueError as error:
        raise Invalid(f"{key}: {error}") from None


def ulimits(key: str, value: Any) -> tuple[Ulimit, ...]:
    """Limits of processes: objects by name, or ``name=soft:hard``."""
    if isinstance(value, list | tuple):
        return tuple(_ulimit(key, item) for item in texts(key, value))
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object of limits by name, not {json.dumps(value)}")
    try:
        return tuple(Ulimit(n, int(v["Soft"]), int(v["Hard"])) for n, v in value.items())
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"{key}: each limit needs numbers Soft and Hard") from None


def _ulimit(key: str, item: str) -> Ulimit:
    found = re.fullmatch(r"([a-z]+)=(-?\d+)(?::(-?\d+))?", item)
    if found is None:
        raise Invalid(f"{key}: {item!r} is not of the form name=soft:hard")
    name, soft, hard = found.groups()
    return Ulimit(name, int(soft), int(hard or soft))


def log_opts(key: str, value: Any) -> int:
    """The size at which a container's log is turned over: an object, or ``max-size=…``."""
    if isinstance(value, list | tuple):
        value = dict(item.partition("=")[::2] for item in texts(key, value))
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object, not {json.dumps(value)}")
    return size(f"{key} max-size", value.get("max-size", 0))


def endpoint(key: str, value: Any) -> str:
    """``address:port``, where an address that is left out is the loopback."""
    found = text(key, value).removeprefix("tcp://")
    if not found:
        return ""
    host, _, port = found.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise Invalid(f"{key}: {value!r} is not address:port")
    address(key, "127.0.0.1" if host == "localhost" else host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def labels(key: str, value: Any) -> tuple[str, ...]:
    """``name=value`` each, and no name with two values."""
    found: dict[str, str] = {}
    for item in texts(key, value):
        name, equals, setting = item.partition("=")
        if not name or not equals:
            raise Invalid(f"bad attribute format: {item}", hint="a label is name=value")
        if found.get(name, setting) != setting:
            raise Invalid(f"conflict labels for {item} and {name}={found[name]}")
        found[name] = setting
    return tuple(f"{name}={setting}" for name, setting in found.items())


def store_options(key: str, value: Any) -> Mapping[str, str]:
    """Options of a cluster's store: an object of texts, or texts ``key=value``."""
    if isinstance(value, Mapping):
        return {name: text(f"{key}: {name}", each) for name, each in value.items()}
    found: dict[str, str] = {}
    for each in texts(key, value):
        name, separator, said = each.partition("=")
        if not separator or not name:
            raise Invalid(f"{key}: {each!r} is not key=value")
        if name in found:
            raise Invalid(f"{key}: {name} is set twice")
        found[name] = said
    return found
