"""`--cluster-store` and its options: checked, and made into a store.

==========================================  ======================================
URL                                         store
==========================================  ======================================
``etcd://host:port[,host:port…][/prefix]``  etcd; by its older API if ``kv.api=2``
``consul://…``                              Consul
``zk://…``                                  ZooKeeper
==========================================  ======================================

Everything that can be wrong about them is said here, before anything is connected to.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from fairlead.model.errors import Invalid
from fairlead.model.state import IPAddress
from fairlead.store import tls
from fairlead.store.below import Below
from fairlead.store.servers import Server
from fairlead.store.shared import SharedStore
from fairlead.store.tls import Files
from fairlead.store.web import web

PORTS = {"etcd": 2379, "consul": 8500, "zk": 2181}
LIBRARIES = {"etcd": "etcd3gw", "consul": "consul", "zk": "kazoo"}
EXTRAS = {"etcd": "etcd", "consul": "consul", "zk": "zookeeper"}
API, PATH = "kv.api", "kv.path"
HEARTBEAT, TTL = "discovery.heartbeat", "discovery.ttl"
GOSSIP_KEY, OVERLAY_KEY = "fairlead.gossip.key", "fairlead.overlay.key"
STORE_OPTIONS = (API, PATH, tls.AUTHORITY, tls.CERTIFICATE, tls.KEY, HEARTBEAT, TTL)
OPTIONS = (*STORE_OPTIONS, GOSSIP_KEY, OVERLAY_KEY)
"""The last two are the store's no more than the rest of fairlead's; Docker has no other place."""
NODES = "docker/nodes"
HEARTBEAT_SECONDS = 20
BEATS = 3
FAILED = "discovery initialization failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, and how to speak to it."""

    scheme: str
    servers: tuple[Server, ...]
    prefix: str = ""
    """The folder that everything is kept below; empty: none."""
    api: int = 0
    """The version of etcd's API; 0: it has no such thing."""
    files: Files | None = None
    """The certificates of TLS; None: in the clear."""

    @property
    def name(self) -> str:
        """What people call it."""
        where = ",".join(map(str, self.servers))
        return f"{self.scheme}://{where}{f'/{self.prefix}' if self.prefix else ''}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """How hosts tell each other that they are there."""

    path: str = NODES
    """The folder of the hosts' keys, below the store's prefix."""
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    ttl_seconds: int = BEATS * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Advertised:
    """How other hosts reach this one: by an address, or the first one of an interface."""

    port: int
    address: IPAddress | None = None
    interface: str = ""


def open_store(url: str, options: Mapping[str, str]) -> SharedStore:
    """The store that a URL and options name, not connected yet. Raises Invalid."""
    place = parse(url, options)
    discovery(options)
    check_library(place)
    store = _made(place)
    return Below(store, place.prefix) if place.prefix else store


def parse(url: str, options: Mapping[str, str]) -> Place:
    """What a URL and options say of a store. Raises Invalid."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in PORTS:
        raise Invalid(
            f"{FAILED} (discovery service not supported): {url}",
            hint="a cluster's store is etcd://, consul:// or zk://host:port[,host:port]",
        )
    for key in options:
        if key not in OPTIONS:
            raise Invalid(
                f"invalid cluster-store-opt: {key}", hint=f"there are {', '.join(OPTIONS)}"
            )
    where, _, prefix = rest.partition("/")
    servers = tuple(_server(each, PORTS[scheme], url) for each in where.split(","))
    return Place(scheme, servers, _folder(prefix, url), _api(scheme, options), tls.files(options))


def discovery(options: Mapping[str, str]) -> Discovery:
    """What options say of the hosts' keys. Raises Invalid."""
    path = _folder(options.get(PATH, ""), PATH) or NODES
    heartbeat = _seconds(options, HEARTBEAT)
    ttl = _seconds(options, TTL)
    if heartbeat is None:
        heartbeat = HEARTBEAT_SECONDS if ttl is None else ttl // BEATS
    if ttl is None:
        ttl = BEATS * heartbeat
    if ttl <= heartbeat or heartbeat < 1:
        raise Invalid(f"{FAILED} (discovery.ttl timer must be greater than discovery.heartbeat)")
    return Discovery(path, heartbeat, ttl)


def advertised(text: str) -> Advertised:
    """What `--cluster-advertise` says: ``address:port`` or ``interface:port``. Raises Invalid."""
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not separator
        or not host.strip("[]")
        or (":" in host and not bracketed)
        or not re.fullmatch("[0-9]{1,5}", port)
        or not 0 < int(port) <= 65535
    ):
        raise Invalid(
            f"discovery advertise parsing failed (invalid --cluster-advertise {text!r})",
            hint="write 192.0.2.11:2376, eth0:2376 or [2001:db8::11]:2376",
        )
    try:
        return Advertised(int(port), ip_address(host.strip("[]")))
    except ValueError:
        if bracketed or len(host) > 15 or re.search(r"[/\s]", host):
            raise Invalid(
                "discovery advertise parsing failed (invalid cluster advertise IP address or "
                f"interface name ({text}))",
                hint="write 192.0.2.11:2376, eth0:2376 or [2001:db8::11]:2376",
            ) from None
        return Advertised(int(port), interface=host)


def check_library(place: Place) -> None:
    """Refuses a store whose client is not installed. Raises Invalid."""
    if place.api == 2:
        return  # That one is our own.
    if importlib.util.find_spec(LIBRARIES[place.scheme]) is None:
        raise Invalid(
            f"{FAILED}: the client for {place.scheme}:// is not installed",
            hint=f"pip install 'fairlead[{EXTRAS[place.scheme]}]', with the daemon's own pip",
        )


def _made(place: Place) -> SharedStore:
    """The store, by its library, which is loaded only here."""
    name, servers, files = place.name, place.servers, place.files
    if place.scheme == "zk":
        from fairlead.store.zookeeper import ZookeeperStore

        if files is not None:
            files.context()  # Whatever is wrong with them is said now.
        return ZookeeperStore(name, servers, files)
    context = files.context() if files is not None else None
    if place.scheme == "consul":
        from fairlead.store.consul import ConsulStore, headers

        return ConsulStore(name, servers, web(name, servers, context, headers()), files)
    if place.api == 2:
        from fairlead.store.etcd2 import Etcd2Store

        return Etcd2Store(name, web(name, servers, context))
    from fairlead.store.etcd3 import Etcd3Store

    return Etcd3Store(name, servers, web(name, servers, context), files)


def _server(text: str, port: int, url: str) -> Server:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname or "", parts.port
    except ValueError:
        host, given = "", None
    if not host or parts.netloc != text or "@" in text or given == 0 or re.search(r"\s", text):
        raise Invalid(
            f"{FAILED} (invalid server {text!r} in {url})", hint="write host:port[,host:port]"
        )
    return Server(host, given or port)


def _folder(text: str, where: str) -> str:
    folder = text.strip("/")
    if "//" in folder or re.search(r"[\s?#\0]|(^|/)\.\.?(/|$)", folder):
        raise Invalid(f"{FAILED} (invalid path {text!r} in {where})")
    return folder


def _api(scheme: str, options: Mapping[str, str]) -> int:
    version = options.get(API)
    if scheme != "etcd":
        if version is not None:
            raise Invalid(f"{API} is of etcd only, and the cluster's store is {scheme}://")
        return 0
    if version not in (None, "2", "3"):
        raise Invalid(f"invalid {API}: {version}", hint="etcd has API 3, and 2 for older clients")
    return int(version or 3)


def _seconds(options: Mapping[str, str], key: str) -> int | None:
    text = options.get(key)
    if text is None:
        return None
    if not re.fullmatch("[-+]?[0-9]{1,9}", text):
        raise Invalid(f'{FAILED} (strconv.Atoi: parsing "{text}": invalid syntax)', hint=key)
    if int(text) <= 0:
        raise Invalid(f"{FAILED} ({key} must be positive)")
    return int(text)
