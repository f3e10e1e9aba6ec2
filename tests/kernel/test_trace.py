"""Following packets: what is asked of the kernel, and what it answers, as bytes and texts."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.kernel import ways
from fairlead.kernel.netlink import HEADER, attribute, nest, text
from fairlead.kernel.nftnetlink import be32
from fairlead.kernel.probe import packet, tell_tale
from fairlead.kernel.sights import NFT_MSG_TRACE, sights
from fairlead.kernel.trace import everywhere, script
from fairlead.model.packet import Flow, Listener, Verdict

V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
PORTS = st.integers(1, 65535)
FLOWS = st.one_of(
    *(st.builds(Flow, st.sampled_from(["tcp", "udp"]), v, v, PORTS, PORTS) for v in (V4, V6))
)


def total(raw: bytes) -> int:
    """One's complement sum: all ones where a checksum in it is right (RFC 1071)."""
    words = struct.unpack(f"!{(len(raw) + 1) // 2}H", raw + b"\0" * (len(raw) % 2))
    found = sum(words)
    return (found % 0xFFFF) or (0xFFFF if found else 0)


@given(FLOWS, st.integers(0, 0xFFFFFFFF))
def test_a_probe_is_a_packet_that_tells_itself(flow: Flow, secret: int) -> None:
    """Checksums hold, ends are as asked, and the secret is where nftables is told to look."""
    raw, ends = packet(flow, secret), flow.source.packed + flow.destination.packed
    if flow.source.version == 4:
        assert total(raw[:20]) == 0xFFFF
        head, number = raw[:20], raw[9]
        assert head[12:] == ends
        assert struct.unpack_from("!H", head, 2)[0] == len(raw)
        inside = raw[20:]
    else:
        number, inside = raw[6], raw[40:]
        assert raw[8:40] == ends
        assert struct.unpack_from("!H", raw, 4)[0] == len(inside)
    assert total(ends + struct.pack("!IxxxB", len(inside), number) + inside) == 0xFFFF
    assert struct.unpack_from("!HH", inside) == (flow.source_port, flow.port)
    words = tell_tale(flow.protocol, secret).split()
    _, offset, width = words[3].split(",")
    assert width == "32"
    assert struct.unpack_from("!I", inside, int(offset) // 8)[0] == int(words[4], 16) == secret


def message(*attributes: bytes, family: int = 1) -> bytes:
    body = struct.pack("!BBH", family, 0, 0) + b"".join(attributes)
    return HEADER.pack(HEADER.size + len(body), NFT_MSG_TRACE, 0, 0, 0) + body


def test_what_the_kernel_tells() -> None:
    """A rule with its verdict, then the end of a chain; more than one in a read."""
    flow = Flow("tcp", ip_address("192.0.2.7"), ip_address("10.0.0.2"), 80, 40000)
    raw = packet(flow, 1)
    verdict = nest(5, be32(1, -3), text(2, "c_next"))
    headers = attribute(8, raw[:20]) + attribute(9, raw[20:])
    handle = attribute(3, struct.pack("!Q", 12))
    at = text(1, "fairlead") + text(2, "c_here") + be32(6, 99)
    first = message(at, handle, verdict, headers, be32(10, 1), family=2)
    second = message(at, be32(16, 0))
    rule, end = sights(first + second)
    assert (rule.family, rule.table, rule.chain, rule.packet) == ("ip", "fairlead", "c_here", 99)
    assert (rule.verdict, rule.to, rule.handle) == (Verdict.JUMP, "c_next", 12)
    assert (rule.flow, rule.came_by) == (flow, "lo")
    assert (end.family, end.verdict, end.handle, end.flow) == ("inet", Verdict.DROP, 0, None)


@given(st.binary(max_size=80))
def test_whatever_it_tells(rest: bytes) -> None:
    """Headers that are cut short, or of something else, are no flow and no error."""
    list(sights(message(text(1, "t"), attribute(8, rest[:40]), attribute(9, rest[40:]))))


LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0200010A:0050 0700000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1
"""
LISTENING6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:0
"""


def test_who_listens() -> None:
    """Sockets that wait for anybody, and no connections that there are."""
    assert list(ways.parse(LISTENING, ways.LISTENS["tcp"])) == [
        Listener(ip_address("127.0.0.1"), 8080),
        Listener(ip_address("0.0.0.0"), 80),
    ]
    assert list(ways.parse(LISTENING6, "0A")) == [Listener(ip_address("::1"), 80)]


@pytest.mark.parametrize("family", ["inet", "bridge"])
def test_the_table(family: str) -> None:
    """It is ours alone, marks what is meant, and drops nothing but what tells itself."""
    lines = script(family, everywhere("meant"), "told").splitlines()
    assert lines[0] == f"create table {family} fairlead_trace {{ flags owner; }}"
    assert all(line.endswith("policy accept; }") for line in lines if line.startswith("add chain"))
    rules = [line for line in lines if line.startswith("add rule")]
    assert all(line.endswith(("meant meta nftrace set 1", "told drop")) for line in rules)
    watched = script(family, everywhere("meant"))
    assert "drop" not in watched
