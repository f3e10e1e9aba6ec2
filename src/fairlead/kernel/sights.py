"""What the kernel tells of packets that are followed (linux/netfilter/nf_tables.h, NFT_MSG_TRACE).

Each message is about one packet at one rule, or at the end of a chain. What the packet
looks like comes with the first message of each hook, so that translations are seen.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

from fairlead.kernel.netlink import attributes, string
from fairlead.kernel.nftnetlink import GENERAL, SUBSYSTEM
from fairlead.kernel.watch import messages
from fairlead.model.packet import Flow, Sight, Verdict

NFT_MSG_TRACE = SUBSYSTEM << 8 | 17
NFNLGRP_NFTRACE = 9
TABLE, CHAIN, RULE_HANDLE, VERDICT, ID = 1, 2, 3, 5, 6
NETWORK_HEADER, TRANSPORT_HEADER, IIF, OIF = 8, 9, 10, 12
POLICY = 16
VERDICT_CODE, VERDICT_CHAIN = 1, 2
FAMILIES = {1: "inet", 2: "ip", 7: "bridge", 10: "ip6"}
PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
VERDICTS = {
    0: Verdict.DROP,
    1: Verdict.ACCEPT,
    2: Verdict.STOLEN,
    3: Verdict.QUEUE,
    -1: Verdict.CONTINUE,
    -3: Verdict.JUMP,
    -4: Verdict.GOTO,
    -5: Verdict.RETURN,
}
VERDICT_MASK = 0xFF


def sights(data: bytes) -> Iterator[Sight]:
    """Everything in one read of the socket."""
    for kind, body in messages(data):
        if kind == NFT_MSG_TRACE:
            found = _sight(FAMILIES.get(body[0], ""), attributes(body, GENERAL.size))
            if found.family:
                yield found


def _sight(family: str, row: dict[int, bytes]) -> Sight:
    verdict, to = _verdict(row)
    return Sight(
        _number(row, ID),
        family,
        string(row, TABLE),
        string(row, CHAIN),
        verdict,
        to,
        _number(row, RULE_HANDLE),
        _name(_number(row, IIF)),
        _name(_number(row, OIF)),
        _flow(row.get(NETWORK_HEADER, b""), row.get(TRANSPORT_HEADER, b"")),
    )


def _verdict(row: dict[int, bytes]) -> tuple[Verdict, str]:
    if POLICY in row:
        code, to = _number(row, POLICY), ""
    else:
        said = attributes(row.get(VERDICT, b""))
        code, to = _number(said, VERDICT_CODE), string(said, VERDICT_CHAIN)
    signed = code - (1 << 32) if code >> 31 else code & VERDICT_MASK
    return VERDICTS.get(signed, Verdict.CONTINUE), to


def _number(row: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(row.get(kind, b""))


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:
        # It is gone by now.
        return ""


def _flow(network: bytes, transport: bytes) -> Flow | None:
    """What the headers say, as far as they came along."""
    version = network[0] >> 4 if network else 0
    if version == 4 and len(network) >= 20:
        number, source, destination = network[9], network[12:16], network[16:20]
    elif version == 6 and len(network) >= 40:
        number, source, destination = network[6], network[8:24], network[24:40]
    else:
        return None
    if number not in PROTOCOLS or len(transport) < 4:
        return None
    ports = int.from_bytes(transport[:2]), int.from_bytes(transport[2:4])
    return Flow(
        PROTOCOLS[number], ip_address(source), ip_address(destination), ports[1], ports[0]
    )  # fmt: skip
