"""The daemon's configuration: dockerd's flags and daemon.json's keys, as one value.

A key that is set in both places, or that is unknown, stops the start: a daemon
that guesses which one was meant opens ports that nobody asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from fairlead.cli import readers
from fairlead.firewall.backends import BACKENDS
from fairlead.ipam.pool import DEFAULT_BASES, Base
from fairlead.model.container import Ulimit
from fairlead.model.errors import FairleadError, Invalid
from fairlead.model.options import interface_name
from fairlead.model.state import IPAddress, IPNetwork

CONFIG_FILE = Path("/etc/docker/daemon.json")
NO_RAW = os.environ.get("DOCKER_INSECURE_NO_IPTABLES_RAW") == "1"
CERTIFICATES = Path(os.environ.get("DOCKER_CERT_PATH") or "~/.docker").expanduser()
PLURALS = {
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "cluster-store-opt": "cluster-store-opts",
    "host": "hosts",
    "host-gateway-ip": "host-gateway-ips",
    "dns-opt": "dns-opts",
    "label": "labels",
    "log-opt": "log-opts",
    "insecure-registry": "insecure-registries",
}
"""Flags that are given several times, and what their lists are called in the file."""
RENAMED = {"host-gateway-ip": "host-gateway-ips"}
"""Keys of the file that have a newer name."""

IGNORED = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "builder",
        "cdi-spec-dirs",
        "containerd",
        "containerd-namespace",
        "containerd-plugin-namespace",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cri-containerd",
        "default-cgroupns-mode",
        "default-init",
        "default-ipc-mode",
        "exec-opts",
        "experimental",
        "features",
        "init-path",
        "live-restore",
        "log-driver",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "network-diagnostic-port",
        "no-new-privileges",
        "node-generic-resources",
        "oom-score-adjust",
        "proxies",
        "raw-logs",
        "registry-mirrors",
        "runtimes",
        "seccomp-profile",
        "selinux-enabled",
        "storage-driver",
        "storage-opts",
        "swarm-default-advertise-addr",
        "userns-remap",
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
    bip6: str = ""
    fixed_cidr: IPNetwork | None = None
    fixed_cidr_v6: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    default_gateway_v6: IPAddress | None = None
    mtu: int = 0
    """In bytes; 0: that of the host's way out."""
    icc: bool = True
    ip: IPAddress | None = None
    ipv6: bool = False
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    ip_masq: bool = True
    iptables: bool = True
    ip6tables: bool = True
    firewall_backend: str = "iptables"
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    allow_direct_routing: bool = False
    bridge_accept_fwmark: tuple[int, int] | None = None
    """A mark and its mask."""
    default_address_pools: tuple[Base, ...] = DEFAULT_BASES
    default_network_opts: readers.NetworkOpts = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    host_gateway_ips: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    default_runtime: str = ""
    cgroup_parent: str = "/fairlead"
    init: bool = False
    default_shm_size: int = 64 << 20
    default_ulimits: tuple[Ulimit, ...] = ()
    log_opts: int = 0
    """The size in bytes at which a container's log is turned over; 0: never."""
    shutdown_timeout: int = 15
    audit_interval: int = 30
    """Seconds between looks at the host for damage; 0: only when told."""
    debug: bool = False
    log_level: str = "info"
    log_format: str = "text"
    metrics_addr: str = ""
    tls: bool | None = None
    tlsverify: bool | None = None
    tlscacert: Path = CERTIFICATES / "ca.pem"
    tlscert: Path = CERTIFICATES / "cert.pem"
    tlskey: Path = CERTIFICATES / "key.pem"
    cluster_store: str = ""
    cluster_advertise: str = ""
    cluster_store_opts: Mapping[str, str] = field(default_factory=dict)
    network_control_plane_mtu: int = 1500


READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "hosts": readers.texts,
    "group": readers.text,
    "data-root": readers.path,
    "exec-root": readers.path,
    "pidfile": readers.path,
    "bridge": readers.text,
    "default-bridge-name": readers.interface,
    "iptables-prefix": readers.prefix,
    "bip": readers.interface_address(4),
    "bip6": readers.interface_address(6),
    "fixed-cidr": readers.network4,
    "fixed-cidr-v6": readers.network6,
    "default-gateway": readers.address4,
    "default-gateway-v6": readers.address6,
    "mtu": readers.mtu,
    "icc": readers.flag,
    "ip": readers.address,
    "ipv6": readers.flag,
    "ip-forward": readers.flag,
    "ip-forward-no-drop": readers.flag,
    "ip-masq": readers.flag,
    "iptables": readers.flag,
    "ip6tables": readers.flag,
    "firewall-backend": readers.one_of(*BACKENDS),
    "userland-proxy": readers.flag,
    "userland-proxy-path": readers.text,
    "allow-direct-routing": readers.flag,
    "bridge-accept-fwmark": readers.fwmark,
    "default-address-pools": readers.pools,
    "default-network-opts": readers.network_opts,
    "dns": readers.addresses,
    "dns-search": readers.texts,
    "dns-opts": readers.texts,
    "host-gateway-ips": readers.host_gateways,
    "labels": readers.labels,
    "insecure-registries": readers.texts,
    "default-runtime": readers.text,
    "cgroup-parent": readers.cgroup,
    "init": readers.flag,
    "default-shm-size": readers.size,
    "default-ulimits": readers.ulimits,
    "log-opts": readers.log_opts,
    "shutdown-timeout": readers.number,
    "audit-interval": readers.number,
    "debug": readers.flag,
    "log-level": readers.level,
    "log-format": readers.log_format,
    "metrics-addr": readers.endpoint,
    "tls": readers.flag,
    "tlsverify": readers.flag,
    "tlscacert": readers.path,
    "tlscert": readers.path,
    "tlskey": readers.path,
    "cluster-store": readers.text,
    "cluster-advertise": readers.text,
    "cluster-store-opts": readers.store_options,
    "network-control-plane-mtu": readers.number,
}


def load(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """The configuration from a file and flags, by their daemon.json names. Raises Invalid.

    Without a path the usual file is read if it is there. Every refusal names the
    key, and the file if it came from there.
    """
    given = path or CONFIG_FILE
    from_file = f"unable to configure the daemon with file {given}: "
    try:
        settings = _renamed(_read(given, required=path is not None))
        flags = {PLURALS.get(key, key): value for key, value in flags.items()}
        _check_keys(settings, flags)
    except Invalid as error:
        raise Invalid(from_file + error.message, hint=error.hint) from error
    values = {**_values(settings, from_file), **_values(flags, "invalid flag: ")}
    try:
        return _check(replace(Config(), **values))
    except FairleadError as error:
        raise Invalid((from_file if settings else "") + error.message, hint=error.hint) from error


def _values(settings: Mapping[str, Any], origin: str) -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        if key not in READERS:
            continue
        try:
            found[key.replace("-", "_")] = READERS[key](key, value)
        except FairleadError as error:
            raise Invalid(origin + error.message, hint=error.hint) from error
    return found


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    for old, new in RENAMED.items():
        if old in settings and new in settings:
            raise Invalid(f"{old} and {new} must not both be specified in the config file")
    return {RENAMED.get(key, key): value for key, value in settings.items()}


def _check_keys(settings: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    unknown = sorted(key for key in settings if key not in READERS and key not in IGNORED)
    if unknown:
        raise Invalid(
            "the following directives don't match any configuration option: " + ", ".join(unknown)
        )
    both = sorted(settings.keys() & flags.keys())
    if both:
        shown = ", ".join(
            f"{key}: (from flag: {_go(flags[key])}, from file: {_go(settings[key])})"
            for key in both
        )
        raise Invalid(
            "the following directives are specified both as a flag and in the configuration "
            f"file: {shown}"
        )


def _go(value: Any) -> str:
    """A value as Go prints it, which is how dockerd shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + " ".join(_go(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{_go(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)


def _read(path: Path, required: bool) -> dict[str, Any]:
    try:
        # A byte order mark is what some editors put in front.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if required:
            raise Invalid("it does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"it cannot be read: {error}") from error
    if not text.strip():
        return {}
    try:
        settings = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise Invalid(str(error)) from None
    if not isinstance(settings, dict):
        raise Invalid("it must hold one JSON object")
    return settings


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that is in it twice has two meanings and gets neither."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)} is set twice")
    return found


def _check(config: Config) -> Config:
    if config.bridge and (config.bip or config.bip6):
        raise Invalid(
            "You specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    if config.bridge and config.bridge != "none":
        interface_name(config.bridge, "bridge")
    for host in config.hosts:
        if not host.startswith(("unix://", "tcp://", "fd://")):
            raise Invalid(
                f"invalid host {host!r}", hint="use unix:///path, tcp://address:port or fd://"
            )
    _check_within("bip", config.bip, config.fixed_cidr, config.default_gateway)
    _check_within("bip6", config.bip6, config.fixed_cidr_v6, config.default_gateway_v6)
    if config.tlsverify is not None:
        # As dockerd has it: whoever mentions verification means TLS.
        return replace(config, tls=True)
    return replace(config, tlsverify=config.tls)


def _check_within(key: str, bip: str, part: IPNetwork | None, gateway: IPAddress | None) -> None:
    """The default bridge's range and gateway lie in its subnet."""
    if not bip:
        return
    subnet, suffix = ip_interface(bip).network, "-v6" if key == "bip6" else ""
    if part is not None and not (
        part.version == subnet.version
        and part.network_address in subnet
        and part.prefixlen >= subnet.prefixlen
    ):
        raise Invalid(f"fixed-cidr{suffix} {part} is not in {subnet}, the subnet of {key} {bip}")
    if gateway is not None and gateway not in subnet:
        raise Invalid(
            f"default-gateway{suffix} {gateway} is not in {subnet}, the subnet of {key} {bip}"
        )


def pool_pairs(bases: Sequence[Base]) -> tuple[tuple[str, int], ...]:
    """Pools as `info` shows them; the built-in ones are not shown."""
    if tuple(bases) == DEFAULT_BASES:
        return ()
    return tuple((str(base.range), base.size) for base in bases)


def split_endpoint(text: str) -> tuple[str, int]:
    """The address and port of ``address:port``; no address is the loopback. Raises Invalid."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise Invalid(f"invalid address {text!r}", hint="use address:port")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether an address is one that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
