"""The daemon's configuration: dockerd's flags and daemon.json's keys, as one value.

A key that is set in both places, or that is unknown, stops the start: a daemon
that guesses which one was meant opens ports that nobody asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from fairlead.cli.values import size_bytes
from fairlead.firewall.backends import BACKENDS
from fairlead.ipam.pool import DEFAULT_BASES, Base
from fairlead.model.container import Ulimit
from fairlead.model.errors import Invalid
from fairlead.model.options import interface_name
from fairlead.model.state import IPAddress, IPNetwork

CONFIG_FILE = Path("/etc/docker/daemon.json")
PLURALS = {
    "default-address-pool": "default-address-pools",
    "host": "hosts",
    "dns-opt": "dns-opts",
    "label": "labels",
    "insecure-registry": "insecure-registries",
}
"""Flags that are given several times, and what their lists are called in the file."""

IGNORED = frozenset(
    {
        "builder",
        "containerd",
        "debug",
        "exec-opts",
        "experimental",
        "features",
        "ip6tables",
        "live-restore",
        "log-driver",
        "log-format",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "registry-mirrors",
        "storage-driver",
        "storage-opts",
        "userland-proxy",
    }
)
"""Keys that change nothing here: what they ask for is always so, or is not fairlead's."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Times are in seconds."""

    hosts: tuple[str, ...] = ("unix:///var/run/docker.sock",)
    group: str = ""
    data_root: Path = Path("/var/lib/fairlead")
    exec_root: Path = Path("/run/fairlead")
    pidfile: Path = Path("/run/fairlead.pid")
    bridge: str = ""
    default_bridge_name: str = "docker0"
    iptables_prefix: str = "DOCKER"
    bip: str = ""
    fixed_cidr: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    mtu: int = 1500
    icc: bool = True
    ip: IPAddress | None = None
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    ip_masq: bool = True
    iptables: bool = True
    firewall_backend: str = "iptables"
    default_address_pools: tuple[Base, ...] = DEFAULT_BASES
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    host_gateway_ip: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    default_runtime: str = ""
    init: bool = False
    default_shm_size: int = 64 << 20
    default_ulimits: tuple[Ulimit, ...] = ()
    log_opts: int = 0
    """The size in bytes at which a container's log is turned over; 0: never."""
    shutdown_timeout: int = 15
    log_level: str = "info"


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text, not {json.dumps(value)}")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false, not {json.dumps(value)}")
    return value


def _number(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{key} must be a number, not {json.dumps(value)}")
    return value


def _mtu(key: str, value: Any) -> int:
    number = _number(key, value)
    if number and not 68 <= number <= 65535:
        raise Invalid(f"{key} must be between 68 and 65535, not {number}")
    return number or 1500


def _texts(key: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise Invalid(f"{key} must be a list of texts, not {json.dumps(value)}")
    return tuple(_text(key, item) for item in values)


def _address(key: str, value: Any) -> IPAddress:
    try:
        return ip_address(_text(key, value))
    except ValueError:
        raise Invalid(f"{key}: {value!r} is no IP address") from None


def _addresses(key: str, value: Any) -> tuple[str, ...]:
    return tuple(str(_address(key, item)) for item in _texts(key, value))


def _network(key: str, value: Any) -> IPNetwork:
    try:
        return ip_network(_text(key, value), strict=False)
    except ValueError:
        raise Invalid(f"{key}: {value!r} is no subnet") from None


def _interface(key: str, value: Any) -> str:
    return interface_name(_text(key, value), key)


def _prefix(key: str, value: Any) -> str:
    text = _text(key, value)
    if not text.isascii() or not text.replace("-", "").isalnum() or len(text) > 9:
        raise Invalid(f"{key}: {text!r} must be at most 9 letters, digits or dashes")
    return text.upper()


def _backend(key: str, value: Any) -> str:
    if value not in BACKENDS:
        raise Invalid(f"{key}: {value!r} is not supported", hint=f"use {' or '.join(BACKENDS)}")
    return str(value)


def _path(key: str, value: Any) -> Path:
    return Path(_text(key, value)).absolute()


def _pools(key: str, value: Any) -> tuple[Base, ...]:
    found = []
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
        found.append(base)
    return tuple(found) or DEFAULT_BASES


def _size(key: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return size_bytes(_text(key, value))
    except ValueError as error:
        raise Invalid(f"{key}: {error}") from None


def _ulimits(key: str, value: Any) -> tuple[Ulimit, ...]:
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object of limits by name, not {json.dumps(value)}")
    try:
        return tuple(Ulimit(n, int(v["Soft"]), int(v["Hard"])) for n, v in value.items())
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"{key}: each limit needs numbers Soft and Hard") from None


def _log_opts(key: str, value: Any) -> int:
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object, not {json.dumps(value)}")
    return _size(f"{key} max-size", value.get("max-size", 0))


READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "hosts": _texts,
    "group": _text,
    "data-root": _path,
    "exec-root": _path,
    "pidfile": _path,
    "bridge": _text,
    "default-bridge-name": _interface,
    "iptables-prefix": _prefix,
    "bip": _text,
    "fixed-cidr": _network,
    "default-gateway": _address,
    "mtu": _mtu,
    "icc": _flag,
    "ip": _address,
    "ip-forward": _flag,
    "ip-forward-no-drop": _flag,
    "ip-masq": _flag,
    "iptables": _flag,
    "firewall-backend": _backend,
    "default-address-pools": _pools,
    "dns": _addresses,
    "dns-search": _texts,
    "dns-opts": _texts,
    "host-gateway-ip": _addresses,
    "labels": _texts,
    "insecure-registries": _texts,
    "default-runtime": _text,
    "init": _flag,
    "default-shm-size": _size,
    "default-ulimits": _ulimits,
    "log-opts": _log_opts,
    "shutdown-timeout": _number,
    "log-level": _text,
}


def load(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """The configuration from a file and flags, by their daemon.json names. Raises Invalid.

    Without a path the usual file is read if it is there.
    """
    settings = _read(path or CONFIG_FILE, required=path is not None)
    flags = {PLURALS.get(key, key): value for key, value in flags.items()}
    both = sorted(settings.keys() & flags.keys())
    if both:
        shown = ", ".join(
            f"{key}: (from flag: {flags[key]}, from file: {settings[key]})" for key in both
        )
        raise Invalid(
            "the following directives are specified both as a flag and in the configuration "
            f"file: {shown}"
        )
    unknown = sorted(key for key in settings if key not in READERS and key not in IGNORED)
    if unknown:
        raise Invalid(
            "the following directives don't match any configuration option: " + ", ".join(unknown)
        )
    merged = {**settings, **flags}
    values = {
        key.replace("-", "_"): READERS[key](key, value)
        for key, value in merged.items()
        if key in READERS
    }
    return _check(replace(Config(), **values))


def _read(path: Path, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        if required:
            raise Invalid(f"the configuration file {path} does not exist") from None
        return {}
    if not text.strip():
        return {}
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{path}: {error}") from None
    if not isinstance(settings, dict):
        raise Invalid(f"{path} must hold one JSON object")
    return settings


def _check(config: Config) -> Config:
    if config.bridge and config.bip:
        raise Invalid(
            "You specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    if config.bridge and config.bridge != "none":
        interface_name(config.bridge, "bridge")
    for host in config.hosts:
        if not host.startswith(("unix://", "tcp://")):
            raise Invalid(f"invalid host {host!r}", hint="use unix:///path or tcp://address:port")
    return config


def pool_pairs(bases: Sequence[Base]) -> tuple[tuple[str, int], ...]:
    """Pools as `info` shows them; the built-in ones are not shown."""
    if tuple(bases) == DEFAULT_BASES:
        return ()
    return tuple((str(base.range), base.size) for base in bases)
