"""What hosts say to each other by gossip, in the very words of Docker 20.10.

::

    event   jl <host> <network> <endpoint>      join|leave <address> <mask> <mac>
    query   peerlookup                          <network> <address>
    answer                                      <mac> <mask> <host>

The first column is serf's name of the message, the last its payload; words are parted by
one space. An event is told when an endpoint comes to or goes from the host that says so; a
query is asked by a kernel that misses a neighbour.

Rule: whoever reaches the port may have written this. A message is read whole or refused,
and nothing of one that is refused is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from fairlead.model.state import IPAddress, IPInterface

EVENT = "jl"
LOOKUP = "peerlookup"
ACTIONS = {"join": True, "leave": False}
ASKED = "dummy"
"""Docker keeps what it learnt by a query as an endpoint with this id."""

# Longer than any of ours: two ids of 64 letters and three IPv6 addresses.
LONGEST = 512
ALL = IPv4Address("255.255.255.255")
ID = re.compile(r"[0-9a-f]{64}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class BadWords(ValueError):
    """A message that is not as it should be; its text says what is wrong, on one line."""


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """An endpoint has come to a host, or gone from it."""

    joined: bool
    host: IPAddress
    """The host that says so: the far end of the tunnel to it."""
    network: str
    endpoint: str
    address: IPInterface
    mac: str


@dataclass(frozen=True, slots=True)
class Question:
    """A host wants to know where an address of a network is."""

    network: str
    address: IPAddress


@dataclass(frozen=True, slots=True)
class Found:
    """Where an address is: behind which MAC, on which host."""

    mac: str
    address: IPInterface
    host: IPAddress


def event_words(event: PeerEvent) -> tuple[str, bytes]:
    """Name and payload of an event."""
    action = "join" if event.joined else "leave"
    payload = f"{action} {event.address.ip} {event.address.netmask} {event.mac}"
    return f"{EVENT} {event.host} {event.network} {event.endpoint}", payload.encode()


def is_event(name: str) -> bool:
    """Whether a message of this name is about an endpoint.

    What is about answers to queries concerns Docker alone, which keeps them.
    """
    return name.startswith(f"{EVENT} ") and not name.endswith(f" {ASKED}")


def read_event(name: str, payload: bytes) -> PeerEvent:
    """The event behind name and payload; raises BadWords."""
    word, host, network, endpoint = _words(name, 4)
    if word != EVENT:
        raise BadWords(f"an event named {_shown(word)}")
    action, ip, mask, mac = _words(_text(payload), 4)
    if action not in ACTIONS:
        raise BadWords(f"neither join nor leave: {_shown(action)}")
    address = _interface(ip, mask)
    return PeerEvent(ACTIONS[action], _host(host), _id(network), _id(endpoint), address, _mac(mac))


def question_words(question: Question) -> bytes:
    """The payload of a query."""
    return f"{question.network} {question.address}".encode()


def read_question(payload: bytes) -> Question:
    """The question of a query; raises BadWords."""
    network, ip = _words(_text(payload), 2)
    return Question(_id(network), _host(ip))


def answer_words(found: Found) -> bytes:
    """The answer to a query."""
    return f"{found.mac} {found.address.netmask} {found.host}".encode()


def read_answer(payload: bytes, question: Question) -> Found:
    """What was found of what was asked; raises BadWords."""
    mac, mask, host = _words(_text(payload), 3)
    return Found(_mac(mac), _interface(str(question.address), mask), _host(host))


def _text(payload: bytes) -> str:
    try:
        return payload[: LONGEST + 1].decode("ascii")
    except UnicodeDecodeError:
        raise BadWords("a payload that is not plain text") from None


def _words(text: str, count: int) -> list[str]:
    if len(text) > LONGEST:
        raise BadWords(f"more than {LONGEST} letters")
    words = text.split(" ")
    if len(words) != count:
        raise BadWords(f"{len(words)} words for {count}: {_shown(text)}")
    return words


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise BadWords(f"not an id: {_shown(text)}")
    return text


def _mac(text: str) -> str:
    if not MAC.fullmatch(text) or text == "00:00:00:00:00:00":
        raise BadWords(f"not a MAC address: {_shown(text)}")
    # A frame to it would reach everybody.
    if int(text[:2], 16) & 1:
        raise BadWords(f"the MAC address of a group: {text}")
    return text


def _host(text: str) -> IPAddress:
    """An address that one machine can have on a network with others."""
    try:
        address = ip_address(text)
    except ValueError:
        raise BadWords(f"not an address: {_shown(text)}") from None
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise BadWords(f"not a plain address: {_shown(text)}")
    if address.is_unspecified or address.is_multicast or address.is_loopback or address == ALL:
        raise BadWords(f"the address of no machine: {address}")
    return address


def _interface(ip: str, mask: str) -> IPInterface:
    address = _host(ip)
    try:
        ones = ip_address(mask)
    except ValueError:
        raise BadWords(f"not a mask: {_shown(mask)}") from None
    length = address.max_prefixlen
    prefix = int(ones).bit_count()
    contiguous = int(ones) == ((1 << prefix) - 1) << (length - prefix)
    if ones.version != address.version or not prefix or not contiguous:
        raise BadWords(f"not a mask: {_shown(mask)}")
    return ip_interface((address, prefix))


def _shown(text: str) -> str:
    """Somebody else's letters, harmless and short."""
    return ascii(text[:80])
