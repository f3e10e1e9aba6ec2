"""Netlink messages: encode, one send for a batch, decode, errno.

Only what fairlead programs (rtnetlink(7), linux/if_link.h, linux/neighbour.h).
A batch goes out in one sendmsg: the kernel takes its messages in order, does
not stop at a refused one, and acknowledges each; the caller learns of every
message whether it was taken.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NEW = NLM_F_CREATE | NLM_F_EXCL

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_NETFILTER = 12
NLMSGERR_ATTR_MSG = 1

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
NESTED = 0x8000
TYPE_MASK = 0x3FFF
BUFFER_BYTES = 1 << 20
MOST_MESSAGES = 128
"""In one send: more of them, or their acknowledgements, may not fit into the buffers."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request: its type, flags beyond REQUEST and ACK, and its body."""

    type: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one message of a batch: 0 or an errno, with the kernel's words if any."""

    code: int
    detail: str = ""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded. ValueError when its 16-bit length cannot hold the value."""
    length = ATTRIBUTE.size + len(value)
    if length > 0xFFFF:
        raise ValueError(f"netlink attribute {kind} of {len(value)} bytes")
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def text(kind: int, value: str) -> bytes:
    """A string attribute, NUL-terminated."""
    raw = value.encode()
    if b"\0" in raw:
        raise ValueError(f"netlink attribute {kind}: NUL in {value!r}")
    return attribute(kind, raw + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def nest(kind: int, *inner: bytes) -> bytes:
    """Attributes inside an attribute."""
    return attribute(kind | NESTED, b"".join(inner))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes in `data` from `offset` on; of repeated ones the last."""
    found: dict[int, bytes] = {}
    # A host of a thousand links has fifty thousand of them: each look-up of a name counts.
    unpack, mask, last = ATTRIBUTE.unpack_from, TYPE_MASK, len(data) - ATTRIBUTE.size
    while offset <= last:
        length, kind = unpack(data, offset)
        if length < 4:
            break
        found[kind & mask] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def string(found: Mapping[int, bytes], kind: int) -> str:
    return found.get(kind, b"").split(b"\0", 1)[0].decode(errors="replace")


def number(found: Mapping[int, bytes], kind: int) -> int:
    raw = found.get(kind, b"")
    return int.from_bytes(raw[:4], sys.byteorder)


class Socket:
    """A netlink socket of the namespace in which its thread was when it was made."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batch(self, messages: Sequence[Message]) -> list[Answer]:
        """Send all, in one go as far as the socket's buffers allow; their answers in order."""
        answers: list[Answer] = []
        for start in range(0, len(messages), MOST_MESSAGES):
            answers += self._batch(messages[start : start + MOST_MESSAGES])
        return answers

    def _batch(self, messages: Sequence[Message]) -> list[Answer]:
        first = self._sequence + 1
        raw = bytearray()
        for message in messages:
            raw += self._packed(message, NLM_F_ACK)
        self._socket.send(raw)
        answers: dict[int, Answer] = {}
        while len(answers) < len(messages):
            for kind, flags, sequence, body in self._receive():
                if kind == NLMSG_ERROR and first <= sequence <= self._sequence:
                    answers[sequence] = _answer(flags, body)
        return [answers[first + i] for i in range(len(messages))]

    def _packed(self, message: Message, flags: int) -> bytes:
        """A message under the next number, as it goes over the socket."""
        self._sequence += 1
        flags |= message.flags | NLM_F_REQUEST
        length = HEADER.size + len(message.body)
        head = HEADER.pack(length, message.type, flags, self._sequence, 0)
        return head + message.body + b"\0" * (-length % 4)

    def transaction(
        self, begin: Message, messages: Sequence[Message], end: Message
    ) -> list[Answer]:
        """Messages that the kernel takes together or not at all; what it says of each.

        A word about `begin` or `end` is one about all of them, and comes alone.
        """
        first = self._sequence + 1
        raw = bytearray()
        for message in (begin, *messages, end):
            # The ends are acknowledged by nobody unless something is wrong.
            raw += self._packed(message, 0 if message is begin or message is end else NLM_F_ACK)
        self._socket.send(raw)
        answers: dict[int, Answer] = {}
        while len(answers) < len(messages):
            for kind, flags, sequence, body in self._receive():
                if kind != NLMSG_ERROR or not first <= sequence <= self._sequence:
                    continue
                answer = _answer(flags, body)
                if sequence in (first, self._sequence):
                    return [answer] * len(messages)
                answers[sequence] = answer
        return [answers[first + 1 + i] for i in range(len(messages))]

    def ask(self, kind: int, body: bytes) -> bytes:
        """The one answer to a question. OSError when the kernel refuses it."""
        self._socket.send(self._packed(Message(kind, 0, body), NLM_F_ACK))
        found = b""
        while True:
            for type_, flags_, sequence, payload in self._receive():
                if sequence != self._sequence:
                    continue
                if type_ == NLMSG_ERROR:
                    code = _answer(flags_, payload).code
                    if code:
                        raise OSError(code, os.strerror(code))
                    return found
                found = payload

    def dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        """Every object of a table as (type, body). Repeats a dump that was interrupted."""
        while True:
            found = self._dump(kind, body)
            if found is not None:
                return found

    def _dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]] | None:
        self._socket.send(self._packed(Message(kind, 0, body), NLM_F_DUMP))
        found: list[tuple[int, bytes]] = []
        intact = True
        while True:
            for type_, flags, sequence, payload in self._receive():
                if sequence != self._sequence:
                    continue
                intact = intact and not flags & NLM_F_DUMP_INTR
                if type_ == NLMSG_DONE:
                    return found if intact else None
                if type_ == NLMSG_ERROR:
                    code = _answer(flags, payload).code
                    raise OSError(code, os.strerror(code))
                found.append((type_, payload))

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(BUFFER_BYTES)
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            if length < HEADER.size:
                raise OSError(errno.EPROTO, "netlink message shorter than its header")
            yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
            offset += (length + 3) & ~3


def _answer(flags: int, body: bytes) -> Answer:
    (code,) = struct.unpack_from("=i", body)
    found = attributes(body, 4 + HEADER.size) if code else {}
    return Answer(-code, string(found, NLMSGERR_ATTR_MSG))
