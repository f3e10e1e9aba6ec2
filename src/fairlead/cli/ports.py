"""Ports as people write them and as ``ps`` shows them. Pure.

::

    80                        any host port          8000-8002:80-82      one to one
    8080:80                   every host address     9000-9010:80         the first free
    127.0.0.1::80/udp         any port of one        [::1]:8080:80/sctp   an IPv6 one
    published=8080,target=80,protocol=tcp            the long form

The rule it keeps: what Docker's client refuses is refused here in its words, and
everything else is left to the daemon.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Exposed = dict[str, dict[str, str]]
    Bindings = dict[str, list[dict[str, str]]]

PROTOCOLS = ("tcp", "udp", "sctp")
HIGHEST = 65535


class Range(NamedTuple):
    """Consecutive ports."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def published(specs: Iterable[str]) -> tuple[Exposed, Bindings]:
    """What -p options mean: the ports they expose and the bindings they ask for."""
    exposed: Exposed = {}
    bindings: Bindings = {}
    for spec in specs:
        for port, binding in _bound(_short_form(spec)):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def exposed(specs: Iterable[str]) -> Exposed:
    """What --expose options mean."""
    made: Exposed = {}
    for spec in specs:
        if ":" in spec:
            raise ValueError(f"invalid port format for --expose: {spec}")
        port, _, protocol = spec.partition("/")
        try:
            ports = _range(port)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {spec}, error: {error}") from None
        for number in range(ports.first, ports.last + 1):
            made[f"{number}/{protocol.lower() or 'tcp'}"] = {}
    return made


def _short_form(spec: str) -> str:
    """The long form ``published=…,target=…`` in the short one."""
    if "=" not in spec:
        return spec
    fields = {"published": "", "target": "", "protocol": "tcp"}
    for part in spec.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"invalid publish opts format (should be name=value but got '{part}')")
        fields[key] = value
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _bound(spec: str) -> list[tuple[str, dict[str, str]]]:
    """One short form as pairs of container port and binding."""
    host, outside, inside = _parts(spec)
    port, _, protocol = inside.partition("/")
    if not port:
        raise ValueError(f"no port specified: {spec}<empty>")
    if host:
        _check_address(host)
    inner = _named_range(port, "containerPort")
    outer = _named_range(outside, "hostPort") if outside else None
    # A single inner port may take the first free one of an outer range.
    if outer is not None and len(outer) != len(inner) and len(inner) != 1:
        raise ValueError(
            f"invalid ranges specified for container and host Ports: {port} and {outside}"
        )
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    made = []
    for offset in range(len(inner)):
        chosen = ""
        if outer is not None and len(outer) == len(inner):
            chosen = str(outer.first + offset)
        elif outer is not None:
            chosen = f"{outer.first}-{outer.last}"
        made.append((f"{inner.first + offset}/{protocol}", {"HostIp": host, "HostPort": chosen}))
    return made


def _parts(spec: str) -> tuple[str, str, str]:
    """Host address, host port and container port; an IPv6 address keeps its colons."""
    front, _, inside = spec.rpartition(":")
    host, _, outside = front.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, outside, inside


def _check_address(host: str) -> None:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise ValueError(f"invalid IP address: {host}") from None


def _named_range(text: str, name: str) -> Range:
    try:
        return _range(text)
    except ValueError:
        raise ValueError(f"invalid {name}: {text}") from None


def _range(text: str) -> Range:
    first, dash, last = text.partition("-")
    made = Range(_number(first), _number(last) if dash else _number(first))
    if made.last < made.first:
        raise ValueError(f"invalid range specified for port: {text}")
    return made


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > HIGHEST:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def shown(ports: Sequence[Mapping[str, Any]]) -> str:
    """The PORTS column: neighbours in one range, mappings to another number by themselves."""
    ranges: dict[tuple[str, str], Range] = {}
    done, moved = [], []
    for port in sorted(ports, key=_order):
        host, inner, kind = port.get("IP") or "", port["PrivatePort"], port.get("Type") or "tcp"
        outer = port.get("PublicPort") or 0
        if host and outer != inner:
            moved.append(f"{_joined(host, str(outer))}->{inner}/{kind}")
            continue
        known = ranges.get((host, kind))
        if known is None or known.last + 1 != inner:
            if known is not None:
                done.append(_range_text(host, kind, known))
            ranges[host, kind] = Range(inner, inner)
        else:
            ranges[host, kind] = Range(known.first, inner)
    rest = [_range_text(host, kind, numbers) for (host, kind), numbers in ranges.items()]
    return ", ".join([*done, *rest, *moved])


def _order(port: Mapping[str, Any]) -> tuple[int, str, str]:
    return port["PrivatePort"], port.get("IP") or "", port.get("Type") or ""


def _range_text(host: str, kind: str, numbers: Range) -> str:
    text = str(numbers.first)
    if numbers.last != numbers.first:
        text = f"{numbers.first}-{numbers.last}"
    if host:
        text = f"{_joined(host, text)}->{text}"
    return f"{text}/{kind}"


def listed(published: Mapping[str, Sequence[Mapping[str, str]] | None]) -> list[str]:
    """The lines of `port`: ``80/tcp -> 0.0.0.0:8080``."""
    lines = [
        f"{inner} -> {bound(binding)}"
        for inner, bindings in published.items()
        for binding in bindings or ()
    ]
    return sorted(lines, key=lambda line: (int(line.partition("/")[0]), line))


def bound(binding: Mapping[str, str]) -> str:
    """The host's side of a published port."""
    return _joined(binding["HostIp"], binding["HostPort"])


def _joined(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
