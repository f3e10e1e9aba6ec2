"""Port bindings as clients write them, and the port requests they stand for.

====================  ======================================================
``HostPort``          meaning
====================  ======================================================
"" or "0"             any free port
"8080"                that one
"9000-9010"           the first free one of the range
====================  ======================================================

``Sources`` is ours: the networks from which the port is reached, if not from everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import UnsetType

from fairlead.engine.documents import PortBinding
from fairlead.model.endpoint import PortRequest
from fairlead.model.errors import Invalid
from fairlead.model.prefixes import prefixes
from fairlead.model.state import IPNetwork

HIGHEST = 65535
_NUMBER = re.compile("[0-9]+")


def port_range(text: str) -> tuple[int, int]:
    """First and last of ``80`` or ``80-90``; (0, 0) for nothing. Raises Invalid."""
    if not text:
        return 0, 0
    first, dash, last = text.partition("-")
    numbers = [first, last] if dash else [first]
    if not all(_NUMBER.fullmatch(n) and int(n) <= HIGHEST for n in numbers):
        raise Invalid(f'invalid port specification: "{text}"')
    low, high = int(first), int(numbers[-1])
    if high < low:
        raise Invalid(f'invalid port specification: "{text}"', hint="a range goes from low to high")
    return low, high


def container_port(key: str) -> tuple[int, int, str]:
    """First port, last port and protocol of ``80``, ``53/udp`` or ``80-90/tcp``. Raises Invalid."""
    number, _, protocol = key.partition("/")
    low, high = port_range(number)
    return low, high, protocol.lower() or "tcp"


def normal(key: str) -> str:
    """A port with its protocol: ``80`` is ``80/tcp``."""
    return key if "/" in key else f"{key}/tcp"


def expand(keys: Iterable[str]) -> list[str]:
    """Exposed ports one by one: ``80-81/tcp`` are ``80/tcp`` and ``81/tcp``. Raises Invalid."""
    found: dict[str, None] = {}
    for key in keys:
        low, high, protocol = container_port(key)
        for port in range(low, high + 1):
            found[f"{port}/{protocol}"] = None
    return list(found)


def exposed(keys: Iterable[str]) -> list[str]:
    """Exposed ports one by one; what is no port is nothing, as Docker sees it."""
    found: dict[str, None] = {}
    for key in keys:
        try:
            found.update(dict.fromkeys(expand([key])))
        except Invalid:
            continue
    return list(found)


def numbers(keys: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Exposed ports as protocol and number."""
    pairs = (key.split("/") for key in exposed(keys))
    return tuple((protocol, int(number)) for number, protocol in pairs)


def check(bindings: Mapping[str, Sequence[PortBinding] | None]) -> None:
    """Refuse bindings that no port could be made of. Raises Invalid."""
    for key, hosts in bindings.items():
        container_port(key)
        for host in hosts or ():
            port_range(host.host_port)
            sources(host)


def sources(binding: PortBinding) -> tuple[IPNetwork, ...]:
    """The networks that a binding names as those who may come. Raises Invalid."""
    given = binding.sources
    return () if isinstance(given, UnsetType) else prefixes(tuple(given), "Sources")


def requests(
    bindings: Mapping[str, Sequence[PortBinding] | None],
    ports: Iterable[str],
    *,
    publish_all: bool,
) -> tuple[PortRequest, ...]:
    """What to publish: bindings of exposed `ports`, and with `publish_all` every other one too.

    Only exposed ports are published, as Docker does up to API 1.52. A binding
    with an empty list gets a port of the system's choice.
    """
    return tuple(request for _, _, request in requested(bindings, ports, publish_all=publish_all))


def requested(
    bindings: Mapping[str, Sequence[PortBinding] | None],
    ports: Iterable[str],
    *,
    publish_all: bool,
) -> list[tuple[str, PortBinding, PortRequest]]:
    """The requests in order, each with the port and binding that it comes from."""
    given = {
        port: hosts or [PortBinding()] for key, hosts in bindings.items() for port in expand([key])
    }
    found: list[tuple[str, PortBinding, PortRequest]] = []
    for key in sorted(exposed(ports), key=_order):
        number, _, protocol = key.partition("/")
        hosts = given.get(key, [PortBinding()] if publish_all else [])
        for host in hosts:
            low, high = port_range(host.host_port)
            last = high if high > low else 0
            request = PortRequest(protocol, int(number), host.host_ip, low, last, sources(host))
            found.append((key, host, request))
    return found


def _order(key: str) -> tuple[int, str]:
    number, _, protocol = key.partition("/")
    return int(number), protocol
