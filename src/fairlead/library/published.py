"""Ports as people write them: ``[ADDRESS:][HOST[-HOST]:]PORT[-PORT][/PROTOCOL]``. Pure.

====================  ======================================================
text                  meaning
====================  ======================================================
80                    any free port of the host leads to port 80
8080:80               port 8080 of every address
127.0.0.1:8080:80     port 8080 of one address; an IPv6 one in brackets
53:53/udp             udp instead of tcp
8000-8002:80-82       one to one
9000-9010:80          the first free one of the range
====================  ======================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address

from fairlead.model.endpoint import PortRequest
from fairlead.model.errors import Invalid
from fairlead.model.prefixes import prefixes

FORM = re.compile(
    r"(?:(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9]+\.[0-9.]*)):)?"
    r"(?:(?P<outer>[0-9]*(?:-[0-9]+)?):)?(?P<inner>[0-9]+(?:-[0-9]+)?)(?:/(?P<kind>\w+))?",
    re.ASCII,
)
PROTOCOLS = ("tcp", "udp", "sctp")
HIGHEST = 65535


def port_requests(texts: Iterable[str], sources: Sequence[str] = ()) -> tuple[PortRequest, ...]:
    """What the texts ask for, each port once, for callers from `sources` alone. Raises Invalid."""
    who = prefixes(tuple(sources), "sources") if sources else ()
    asked = (request for text in texts for request in _requests(text))
    return tuple(dict.fromkeys(replace(request, sources=who) for request in asked))


def open_to_all(request: PortRequest) -> PortRequest:
    """The same port, whoever may come to it."""
    return replace(request, sources=())


def _requests(text: str) -> list[PortRequest]:
    found = FORM.fullmatch(text)
    if found is None:
        raise Invalid(f"invalid port {text!r}", hint="write 8080:80, 127.0.0.1:8080:80, 53:53/udp")
    host = found["six"] or found["four"] or ""
    try:
        host = str(ip_address(host)) if host else ""
    except ValueError:
        raise Invalid(f"invalid IP address {host!r} in port {text!r}") from None
    protocol = (found["kind"] or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid protocol {protocol!r} in port {text!r}", hint="tcp, udp or sctp")
    first, last = _range(text, found["inner"])
    low, high = _range(text, found["outer"]) if found["outer"] else (0, 0)
    if first == 0 or (found["outer"] and low == 0):
        raise Invalid(f"invalid port {text!r}: ports are 1 to {HIGHEST}")
    if low and high - low != last - first:
        if first != last:
            raise Invalid(f"invalid port {text!r}: the ranges are not of one length")
        return [PortRequest(protocol, first, host, low, high)]
    return [
        PortRequest(protocol, first + i, host, low + i if low else 0)
        for i in range(last + 1 - first)
    ]


def _range(text: str, part: str) -> tuple[int, int]:
    first, _, last = part.partition("-")
    if not first or int(first) > int(last or first) or int(last or first) > HIGHEST:
        raise Invalid(f"invalid port range {part!r} in {text!r}")
    return int(first), int(last or first)
