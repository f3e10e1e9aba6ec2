"""nf_tables by netlink: the few messages that we write ourselves (linux/netfilter/nf_tables.h).

iptables-restore and libnftables read what is there before they change it: a whole
chain before a rule is put at a place in it, every set of intervals before an element
is added to any. Among a thousand networks that takes them longer than all else; the
kernel itself needs to know neither. Everything between the two ends of a batch is
one transaction, all or nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.kernel.netlink import NLM_F_CREATE, Message, Socket, attribute, nest, text
from fairlead.model.errors import Failed

SUBSYSTEM = 10
NFT_MSG_GETTABLE = SUBSYSTEM << 8 | 1
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = (SUBSYSTEM << 8 | n for n in (6, 7, 8))
NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM = (SUBSYSTEM << 8 | n for n in (12, 14))
BATCH_BEGIN, BATCH_END = 16, 17

NFTA_LIST_ELEM = NFTA_TABLE_NAME = 1
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE = 1, 2, 3
NFTA_RULE_EXPRESSIONS, NFTA_RULE_POSITION = 4, 6
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
NF_DROP, NF_ACCEPT, NFT_JUMP = 0, 1, -3
META_IIFNAME, META_OIFNAME = 6, 7
REGISTER = 1

FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6, "bridge": 7}
GENERAL = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """The kernel did not take a transaction: the first error number, and its words if any."""

    code: int
    detail: str = ""


def transact(netlink: Socket, messages: Sequence[Message]) -> None:
    """Send messages as one transaction. Raises Refusal when the kernel takes none of them."""
    ends = (Message(kind, 0, GENERAL.pack(0, 0, SUBSYSTEM)) for kind in (BATCH_BEGIN, BATCH_END))
    begin, end = ends
    for answer in netlink.transaction(begin, messages, end):
        if answer.code:
            raise Refusal(answer.code, answer.detail)


def failed(refusal: Refusal) -> Failed:
    """What a refusal is called where libnftables could have been asked."""
    return Failed(f"nf_tables: {refusal.detail or os.strerror(refusal.code)}")


def be32(kind: int, value: int) -> bytes:
    """A number as nf_tables has them: in the order of the network."""
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def header(family: str) -> bytes:
    """What each message of a family begins with."""
    return GENERAL.pack(FAMILIES[family], 0, 0)


def verdict(kind: int, code: int, chain: str = "") -> bytes:
    """A verdict as data: an end of the way, or a jump to a chain."""
    to = text(NFTA_VERDICT_CHAIN, chain) if chain else b""
    return nest(kind, nest(NFTA_DATA_VERDICT, be32(NFTA_VERDICT_CODE, code), to))


def insert_rule(
    family: str, table: str, chain: str, expressions: Sequence[bytes], before: int
) -> Message:
    """A rule above the one with that handle."""
    body = text(NFTA_RULE_TABLE, table) + text(NFTA_RULE_CHAIN, chain)
    body += nest(NFTA_RULE_EXPRESSIONS, *expressions)
    body += attribute(NFTA_RULE_POSITION, struct.pack("!Q", before))
    return Message(NFT_MSG_NEWRULE, NLM_F_CREATE, header(family) + body)


def delete_rule(family: str, table: str, chain: str, handle: int) -> Message:
    """The rule with that handle goes."""
    body = text(NFTA_RULE_TABLE, table) + text(NFTA_RULE_CHAIN, chain)
    body += attribute(NFTA_RULE_HANDLE, struct.pack("!Q", handle))
    return Message(NFT_MSG_DELRULE, 0, header(family) + body)


def expression(name: str, *fields: bytes) -> bytes:
    """One step of a rule."""
    data = nest(NFTA_EXPR_DATA, *fields)
    return nest(NFTA_LIST_ELEM, text(NFTA_EXPR_NAME, name), data)


def interface(key: int, name: str, other: bool = False) -> tuple[bytes, bytes]:
    """That the interface a packet comes in or goes out by has that name, or has another."""
    value = nest(3, attribute(NFTA_DATA_VALUE, name.encode() + b"\0"))
    return (
        expression("meta", be32(2, key), be32(1, REGISTER)),
        expression("cmp", be32(1, REGISTER), be32(2, int(other)), value),
    )


def counter() -> bytes:
    """Packets and bytes are counted, as iptables does for every rule."""
    zero = bytes(8)
    return expression("counter", attribute(1, zero), attribute(2, zero))


def end(code: int, chain: str = "") -> bytes:
    """What becomes of a packet that came so far."""
    return expression("immediate", be32(1, 0), verdict(2, code, chain))
