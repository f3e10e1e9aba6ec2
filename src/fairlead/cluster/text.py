"""Text: JSON as Docker writes it, and fields taken out of it that nobody vouches for.

Whatever lies in the store may have been put there by anybody. A field is used only
after it was looked at here: right type, bounded length, no character that could do
harm where the text ends up. Every fault is an Invalid with one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

import msgspec

from fairlead.model.errors import Invalid
from fairlead.model.state import IPAddress, IPInterface, IPNetwork

MOST_BYTES = 3 << 19
"""1.5 MiB: no store takes a larger value."""
MOST_RECORD_BYTES = 256 << 10
MOST_NAME = 255
MOST_TEXT = 4096
MOST_ENTRIES = 1024
"""Aliases, labels, options, pools of one record."""

Fields = Mapping[str, object]

_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_NOBODY: tuple[IPNetwork, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("224.0.0.0/4"),
    IPv6Network("::1/128"),
    IPv6Network("ff00::/8"),
)
"""Where no container's network can be: loopback and multicast."""
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_HARMFUL = frozenset(" \"'`;{}()#$&|<>*?,")
_BROADCAST = IPv4Address("255.255.255.255")


def encoded(fields: object) -> bytes:
    """JSON as Go writes it: nothing between, and no character that means something to HTML."""
    # These occur inside strings only, where the escape says the same.
    return msgspec.json.encode(fields).decode().translate(_ESCAPED).encode()


def decoded(value: bytes, most: int = MOST_RECORD_BYTES) -> dict[str, object]:
    """JSON that is an object, no larger than that."""
    found = anything(value, most)
    if not isinstance(found, dict):
        raise Invalid("it is not a JSON object")
    return found


def anything(value: bytes | str, most: int) -> object:
    """Any JSON, no larger than that."""
    if len(value) > most:
        raise Invalid(f"it has {len(value)} bytes, more than {most}")
    try:
        found: object = msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Invalid("it is not JSON") from error
    return found


def text_of(fields: Fields, name: str, most: int = MOST_TEXT) -> str:
    """A text that must be there."""
    found = fields.get(name)
    if not isinstance(found, str):
        raise Invalid(f"{name} is not text")
    if len(found) > most:
        raise Invalid(f"{name} has {len(found)} characters, more than {most}")
    return found


def flag_of(fields: Fields, name: str) -> bool:
    """True or false; false when it is not there."""
    found = fields.get(name, False)
    if not isinstance(found, bool):
        raise Invalid(f"{name} is neither true nor false")
    return found


def number_of(fields: Fields, name: str, most: int) -> int:
    """A whole number from 0 on that must be there."""
    found = fields.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise Invalid(f"{name} is not a whole number")
    if not 0 <= found <= most:
        raise Invalid(f"{name} is not within 0 and {most}")
    return found


def object_of(fields: Fields, name: str) -> dict[str, object]:
    """An object; empty when it is not there or null."""
    found = fields.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Invalid(f"{name} is not an object")
    return found


def list_of(fields: Fields, name: str) -> list[object]:
    """A list; empty when it is not there or null."""
    found = fields.get(name)
    if found is None:
        return []
    return listed(found, name)


def listed(found: object, name: str) -> list[object]:
    """Something that must be a list, of bounded length."""
    if not isinstance(found, list):
        raise Invalid(f"{name} is not a list")
    if len(found) > MOST_ENTRIES:
        raise Invalid(f"{name} has {len(found)} entries, more than {MOST_ENTRIES}")
    return found


def texts_of(fields: Fields, name: str) -> dict[str, str]:
    """Texts by name: labels, options."""
    found = object_of(fields, name)
    if len(found) > MOST_ENTRIES:
        raise Invalid(f"{name} has {len(found)} entries, more than {MOST_ENTRIES}")
    return {key: text_of(found, key) for key in found}


def name_of(fields: Fields, name: str) -> str:
    """What people call something; it must be there."""
    found = text_of(fields, name, MOST_NAME)
    if not found:
        raise Invalid(f"{name} is empty")
    return named(found, name)


def named(text: str, what: str) -> str:
    """A name that harms nobody: no slash, no line end, nothing that is not printed."""
    if len(text) > MOST_NAME:
        raise Invalid(f"{what} has {len(text)} characters, more than {MOST_NAME}")
    if "/" in text or "\\" in text or not text.isprintable():
        raise Invalid(f"{what} {text!a} has characters that no name has")
    return text


def plain(text: str, what: str) -> str:
    """What a container is called: a name in which nothing means anything to a shell or a rule."""
    if not _HARMFUL.isdisjoint(named(text, what)):
        raise Invalid(f"{what} {_short(text)} has characters that no name has")
    return text


def subnet_of(text: str, what: str) -> IPNetwork:
    """A subnet that containers can have."""
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        found = ip_network(text)
    except ValueError as error:
        raise Invalid(f"{what} {_short(text)} is not a subnet") from error
    for other in _NOBODY:
        if other.version == found.version and other.overlaps(found):
            raise Invalid(f"{what} {found} overlaps {other}, which no network can use")
    return found


def interface_of(text: str, what: str) -> IPInterface:
    """An address with the length of its prefix."""
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        return ip_interface(text)
    except ValueError as error:
        raise Invalid(f"{what} {_short(text)} is not an address with a prefix") from error


@lru_cache(maxsize=4096)
def host_of(text: str, what: str) -> IPAddress:
    """The address of a host. Of few hosts many records tell, so it is remembered."""
    try:
        if "%" in text:
            raise ValueError
        found = ip_address(text)
    except ValueError as error:
        raise Invalid(f"{what} {_short(text)} is not an address") from error
    odd = (
        found.is_loopback
        or found.is_multicast
        or found.is_unspecified
        or found == _BROADCAST
        or (found.version == 6 and (found.is_link_local or found.ipv4_mapped is not None))
    )
    if odd:
        raise Invalid(f"{what} {found} cannot be the address of a host")
    return found


def mac_of(text: str, what: str) -> str:
    """The MAC of one interface, in small letters."""
    found = text.lower()
    if _MAC.fullmatch(found) is None:
        raise Invalid(f"{what} {_short(text)} is not a MAC address")
    if int(found[:2], 16) & 1 or found == "00:00:00:00:00:00":
        raise Invalid(f"{what} {_short(text)} cannot be the MAC address of one interface")
    return found


def _short(text: str) -> str:
    return ascii(text if len(text) <= 64 else text[:64] + "…")
