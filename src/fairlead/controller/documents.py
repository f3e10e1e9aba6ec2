"""The model as JSON and back.

Addresses are text on disk. A field that is missing takes its default, so that
an older file is read; a field that is unknown is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

import msgspec

from fairlead.model.endpoint import Endpoint, Port, PortRequest, StaticRoute
from fairlead.model.errand import Due, Errand
from fairlead.model.keyring import Keyring, Member
from fairlead.model.lease import Lease
from fairlead.model.network import Network, Pool, Scope
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPNetwork
from fairlead.model.world import Change, Thing
from fairlead.store.sqlite import Document

ADDRESSES = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network)
KINDS: Mapping[str, type[Thing]] = {
    "network": Network,
    "sandbox": Sandbox,
    "endpoint": Endpoint,
    "peer": Peer,
    "errand": Errand,
    "keyring": Keyring,
}


def kind(thing: Thing) -> str:
    return type(thing).__name__.lower()


def _plain(value: object) -> object:
    if isinstance(value, ADDRESSES):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not part of the model")


def encode(thing: object) -> bytes:
    """Any value of the model as JSON."""
    return msgspec.json.encode(thing, enc_hook=_plain)


def document(thing: Thing) -> Document:
    """A thing as the store keeps it."""
    return Document(kind(thing), thing.id, encode(_raw(thing)))


def _raw(thing: Thing) -> object:
    """What JSON has a form for: the keys of a mapping are text there."""
    if not isinstance(thing, Keyring):
        return thing
    found = {field.name: getattr(thing, field.name) for field in fields(thing)}
    return {**found, "members": {str(host): who for host, who in thing.members.items()}}


def documents(change: Change) -> list[Document]:
    """A change as the store makes it."""
    gone = [Document(kind(thing), thing.id) for thing in change.drop]
    return gone + [document(thing) for thing in change.put]


def encode_things(things: tuple[Thing, ...]) -> bytes:
    """What an intent puts in, kind by kind."""
    return encode([[kind(thing), _raw(thing)] for thing in things])


def encode_ids(things: tuple[Thing, ...]) -> bytes:
    """What an intent takes out."""
    return encode([thing.id for thing in things])


def decode_things(body: bytes) -> list[Thing]:
    """What `encode_things` wrote."""
    return [_build(name, raw) for name, raw in msgspec.json.decode(body)]


def decode_ids(body: bytes) -> list[str]:
    """What `encode_ids` wrote."""
    return msgspec.json.decode(body, type=list[str])


def _pool(raw: Mapping[str, Any]) -> Pool:
    return Pool(
        subnet=ip_network(raw["subnet"]),
        gateway=ip_address(raw["gateway"]) if raw["gateway"] else None,
        ip_range=ip_network(raw["ip_range"]) if raw["ip_range"] else None,
        auxiliary={name: ip_address(text) for name, text in raw["auxiliary"].items()},
        id=raw.get("id", ""),
        space=raw.get("space", ""),
    )


def _port(raw: Mapping[str, Any]) -> Port:
    return Port(
        raw["protocol"],
        raw["container_port"],
        ip_address(raw["host_ip"]),
        raw["host_port"],
        _sources(raw),
    )


def _request(raw: Mapping[str, Any]) -> PortRequest:
    return PortRequest(**{**raw, "sources": _sources(raw)})


def _sources(raw: Mapping[str, Any]) -> tuple[IPNetwork, ...]:
    return _networks(tuple(raw.get("sources", ())))


@lru_cache(maxsize=256)
def _networks(texts: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    """One value for all ports that have the same list, which may be long."""
    return tuple(map(ip_network, texts))


def _route(raw: Mapping[str, Any]) -> StaticRoute:
    via = ip_address(raw["via"]) if raw["via"] else None
    return StaticRoute(ip_network(raw["destination"]), via)


def _lease(raw: Mapping[str, Any]) -> Lease:
    router = IPv4Address(raw["router"]) if raw["router"] else None
    return Lease(
        address=IPv4Interface(raw["address"]),
        server=IPv4Address(raw["server"]),
        begun=raw["begun"],
        seconds=raw["seconds"],
        renew_seconds=raw["renew_seconds"],
        rebind_seconds=raw["rebind_seconds"],
        router=router,
        servers=tuple(IPv4Address(text) for text in raw["servers"]),
        server_mac=raw["server_mac"],
        mac=raw["mac"],
        client_id=raw["client_id"],
        name=raw["name"],
    )


def _member(raw: Mapping[str, Any]) -> Member:
    return Member(raw["number"], base64.b64decode(raw["birth"]))


def _maybe(build: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda raw: None if raw is None else build(raw)


def _each(build: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda items: tuple(build(item) for item in items)


READERS: Mapping[str, Callable[[Any], object]] = {
    "pools": _each(_pool),
    "ports": _each(_port),
    "publish": _each(_request),
    "scope": Scope,
    # Of a peer an address; of a sandbox whether it is the host's.
    "host": lambda raw: ip_address(raw) if isinstance(raw, str) else raw,
    "addresses": _each(ip_interface),
    "gateways": _each(ip_address),
    "link_local": _each(ip_interface),
    "links": _each(tuple),
    "exposed": _each(tuple),
    "routes": _each(_route),
    "lease": _maybe(_lease),
    "due": Due,
    "net": lambda raw: _build("network", raw),
    "ep": _maybe(lambda raw: _build("endpoint", raw)),
    "address": _maybe(ip_interface),
    "pool": _maybe(_pool),
    "secrets": _each(base64.b64decode),
    "members": lambda raw: {ip_address(text): _member(who) for text, who in raw.items()},
}


def decode(kind: str, body: bytes) -> Thing:
    """A document as a thing of the model."""
    return _build(kind, msgspec.json.decode(body))


def _build(name: str, raw: Mapping[str, Any]) -> Thing:
    cls = KINDS[name]
    known = {f.name for f in fields(cls)}
    values: dict[str, Any] = {}
    for field in known & raw.keys():
        value = raw[field]
        if field in READERS:
            value = READERS[field](value)
        elif isinstance(value, list):
            value = tuple(value)
        values[field] = value
    return cls(**values)
