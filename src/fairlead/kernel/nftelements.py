"""Elements of our sets and maps as nf_tables' own messages, from the text that nft lists.

The kinds of what stands in an element are told by how they are written: a name in
quotes is an interface, a number a port, and so on. A set of single intervals has an
element for the beginning and one behind the end; where kinds are joined, one element
has both ends, and each part is padded to four bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from fairlead.kernel.netlink import NLM_F_CREATE, Message, attribute, nest, text
from fairlead.kernel.nftnetlink import (
    NFT_JUMP,
    NFT_MSG_DELSETELEM,
    NFT_MSG_NEWSETELEM,
    NFTA_DATA_VALUE,
    NFTA_LIST_ELEM,
    be32,
    header,
    verdict,
)
from fairlead.model.nftables import NftElement
from fairlead.model.step import Step

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
IFNAMSIZ = 16
KEY, DATA, FLAGS, KEY_END = 1, 2, 3, 10
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
INTERVAL_END = 1
FAMILIES = ("ip", "ip6")
MOST = 100
"""Elements in one transaction: each is answered, and the answers must fit into a buffer."""


def messages(steps: Sequence[Step]) -> list[Message]:
    """Steps about elements, what goes before what comes. ValueError if one cannot be said so."""
    if len(steps) > MOST:
        raise ValueError(f"{len(steps)} elements")
    gone = [step.before for step in steps if step.before is not None]
    come = [step.after for step in steps if step.after is not None]
    found = []
    for kind, flags, elements in (
        (NFT_MSG_DELSETELEM, 0, gone),
        (NFT_MSG_NEWSETELEM, NLM_F_CREATE, come),
    ):
        for item in elements:
            assert isinstance(item, NftElement)
            found.append(Message(kind, flags, _body(item)))
    return found


def _body(item: NftElement) -> bytes:
    if item.family not in FAMILIES:
        raise ValueError(f"elements of family {item.family}")
    where = header(item.family) + text(LIST_TABLE, item.table) + text(LIST_SET, item.set)
    return where + nest(LIST_ELEMENTS, *_elements(item))


def _elements(item: NftElement) -> list[bytes]:
    parts = [_ends(part) for part in item.item.split(" . ")]
    joined = len(parts) > 1
    first = b"".join(_padded(low) if joined else low for low, _ in parts)
    last = b"".join(_padded(high) if joined else high for _, high in parts)
    data = _data(item.value) if item.value else b""
    ranged = any(_ranged(part) for part in item.item.split(" . "))
    if not ranged:
        return [nest(NFTA_LIST_ELEM, _value(KEY, first), data)]
    if joined:
        return [nest(NFTA_LIST_ELEM, _value(KEY, first), _value(KEY_END, last), data)]
    found = [nest(NFTA_LIST_ELEM, _value(KEY, first), data)]
    behind = int.from_bytes(last) + 1
    if behind < 1 << (8 * len(last)):
        end = _value(KEY, behind.to_bytes(len(last)))
        found.append(nest(NFTA_LIST_ELEM, be32(FLAGS, INTERVAL_END), end))
    return found


def _ranged(part: str) -> bool:
    return not part.startswith('"') and ("/" in part or "-" in part)


def _ends(part: str) -> tuple[bytes, bytes]:
    """The first and the last value of what is written, which are mostly the same."""
    if part.startswith('"'):
        name = part.strip('"').encode()
        value = name + bytes(IFNAMSIZ - len(name))
    elif part in PROTOCOLS:
        value = bytes([PROTOCOLS[part]])
    elif part.isdecimal():
        value = int(part).to_bytes(2)
    elif "/" in part:
        network = ip_network(part)
        return network.network_address.packed, network.broadcast_address.packed
    elif "-" in part:
        low, _, high = part.partition("-")
        return int(low).to_bytes(2), int(high).to_bytes(2)
    else:
        value = ip_address(part).packed
    return value, value


def _data(value: str) -> bytes:
    if value.startswith("jump "):
        return verdict(DATA, NFT_JUMP, value.removeprefix("jump "))
    parts = [_ends(part)[0] for part in value.split(" . ")]
    return _value(DATA, b"".join(map(_padded, parts)) if len(parts) > 1 else parts[0])


def _value(kind: int, value: bytes) -> bytes:
    return nest(kind, attribute(NFTA_DATA_VALUE, value))


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
