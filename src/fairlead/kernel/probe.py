"""One packet that nobody sent: made here, and let in where it would come in.

The kernel is handed a frame as if an interface had received it: a program of four words is
run once on it (bpf(2), BPF_PROG_TEST_RUN) and passes a copy to the interface's receiving
side. No interface is made or changed for that, nothing is attached anywhere, and the program
is gone with its descriptor. What this host itself sends leaves by a raw socket.

A packet is told from all others by 32 random bits where no translation reaches: a TCP
connection's first number, or the beginning of what a datagram carries.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct

from fairlead.model.checksum import checksum
from fairlead.model.errors import Failed, Unsupported
from fairlead.model.packet import Flow
from fairlead.model.state import IPAddress

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
BPF_PROG_LOAD, BPF_PROG_TEST_RUN = 5, 10
BPF_PROG_TYPE_SCHED_CLS = 3
CLONE_REDIRECT, INGRESS = 13, 1
ATTRIBUTE_BYTES = 128
ETHERNET = {4: b"\x08\x00", 6: b"\x86\xdd"}
NUMBER = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
STRANGER = bytes.fromhex("02fa00000001")
"""The Ethernet address of whoever sends from outside."""
HOPS = 64

_libc = ctypes.CDLL(None, use_errno=True)


def tell_tale(protocol: str, secret: int) -> str:
    """What of a probe nftables matches."""
    offset = 32 if protocol == "tcp" else 64
    return f"meta l4proto {protocol} @th,{offset},32 {secret:#010x}"


def packet(flow: Flow, secret: int) -> bytes:
    """The packet: what begins a TCP connection, or a datagram."""
    ends = flow.source.packed + flow.destination.packed
    inside = _inside(flow, secret, 0)
    pseudo = ends + struct.pack("!IxxxB", len(inside), NUMBER[flow.protocol])
    inside = _inside(flow, secret, checksum(pseudo + inside) or 0xFFFF)
    if flow.source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(inside), NUMBER[flow.protocol], HOPS)
        return head + ends + inside
    return _head4(flow, len(inside), 0)[:10] + _checked(flow, len(inside)) + ends + inside


def _inside(flow: Flow, secret: int, check: int) -> bytes:
    if flow.protocol == "tcp":
        offset_and_syn = 5 << 12 | 2
        words = (flow.source_port, flow.port, secret, 0, offset_and_syn, 0xFAF0, check, 0)
        return struct.pack("!HHIIHHHH", *words)
    return struct.pack("!HHHHI", flow.source_port, flow.port, 12, check, secret)


def _head4(flow: Flow, length: int, check: int) -> bytes:
    whole, do_not_fragment = 20 + length, 0x4000
    words = (0x45, 0, whole, 0, do_not_fragment, HOPS, NUMBER[flow.protocol], check)
    return struct.pack("!BBHHHBBH", *words)


def _checked(flow: Flow, length: int) -> bytes:
    raw = _head4(flow, length, 0) + flow.source.packed + flow.destination.packed
    return struct.pack("!H", checksum(raw))


def send(raw: bytes, destination: IPAddress) -> None:
    """As this host sends something itself, from the thread's namespace. Raises Failed."""
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(family, kind, socket.IPPROTO_RAW) as sock:
        try:
            sock.sendto(raw, (str(destination), 0))
        except OSError as error:
            # A rule dropped it: that is what it is for. Which one, the trace says.
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENETUNREACH):
                raise Failed(f"a packet for {destination}: {error.strerror}") from error


def receive(raw: bytes, link: str, to_mac: bytes, from_mac: bytes = STRANGER) -> None:
    """As if a link of this namespace had received it. Raises Unsupported, OSError without it."""
    frame = to_mac + from_mac + ETHERNET[raw[0] >> 4] + raw
    index = socket.if_nametoindex(link)
    try:
        program = _load(index)
        try:
            _run(program, frame)
        finally:
            os.close(program)
    except OSError as error:
        raise Unsupported(
            f"the kernel does not take a packet for {link}: {error.strerror}",
            hint="it needs BPF (CONFIG_BPF_SYSCALL, and no lockdown); `--watch` does without: "
            "it follows packets that somebody really sends",
        ) from error


def _load(index: int) -> int:
    """The program: pass a copy of the packet to the receiving side of a link."""
    code = b"".join(
        struct.pack("=BBhi", operation, register, 0, value)
        for operation, register, value in (
            (0xB7, 2, index),
            (0xB7, 3, INGRESS),
            (0x85, 0, CLONE_REDIRECT),
            (0x95, 0, 0),
        )
    )
    kept, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"Apache-2.0")
    where = (ctypes.addressof(kept), ctypes.addressof(licence))
    return _bpf(BPF_PROG_LOAD, struct.pack("=IIQQ", BPF_PROG_TYPE_SCHED_CLS, 4, *where))[0]


def _run(program: int, frame: bytes) -> None:
    kept = ctypes.create_string_buffer(frame, len(frame))
    words = (program, 0, len(frame), 0, ctypes.addressof(kept), 0, 1, 0)
    _, said = _bpf(BPF_PROG_TEST_RUN, struct.pack("=IIIIQQII", *words))
    (answer,) = struct.unpack_from("=i", said, 4)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    call = SYSCALL.get(platform.machine())
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    said = ctypes.create_string_buffer(attributes, ATTRIBUTE_BYTES)
    found = _libc.syscall(call, command, said, ATTRIBUTE_BYTES)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(found), said.raw
