"""XFRM: security associations and policies as netlink messages, and as they stand.

Only what an encrypted overlay needs (linux/xfrm.h): ESP in transport mode with AES-GCM,
sequence numbers of 64 bits, and policies for what leaves and comes by its port. Ours are

=============  ========================================================
SA             its request id is ours (`model/xfrm.py`)
policy         the request id of its template is; so with what is demanded of incoming
refusal        its priority is our request id
=============  ========================================================

so that those of other programs, dockerd's among them, are neither seen nor touched.

32 bits of sequence are spent in half a day at 100,000 packets a second, and the kernel then
sends nothing more; hence the long ones. They come with a window against replays.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from fairlead.kernel.errors import Refused
from fairlead.kernel.netlink import Message, Socket, attribute, attributes
from fairlead.model.marks import Marks
from fairlead.model.state import IPAddress, Resource
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmBlock, XfrmDemand, XfrmPolicy, XfrmState, reqid

NETLINK_XFRM = 6
NEWSA, DELSA, GETSA = 0x10, 0x11, 0x12
NEWPOLICY, DELPOLICY, GETPOLICY, UPDPOLICY = 0x13, 0x14, 0x15, 0x19
ATTR_TEMPLATE, ATTR_AEAD, ATTR_REPLAY = 5, 18, 23

IN, OUT, TRANSPORT, ALLOW, BLOCK, ESN = 0, 1, 0, 0, 1, 128
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
VERSION = {int(family): version for version, family in FAMILY.items()}
BITS = {4: 32, 6: 128}

SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xII")
ID = struct.Struct("=16s4sB3x")
LIFETIME = struct.pack("=8Q", *([2**64 - 1] * 4), *([0] * 4))
CURRENT = bytes(32)
ASSOCIATION = struct.Struct("=12xIIHBBB7x")
POLICY = struct.Struct("=IIBBBB4x")
TEMPLATE = struct.Struct("=24sH2x16sIBBBxIII")
AEAD = struct.Struct("=64sII")

ALGORITHM = b"rfc4106(gcm(aes))"
CHECK_BITS = 128
WINDOW_PACKETS = 1024
ANY_ALGORITHM = 0xFFFFFFFF
PRIORITY = 100
"""Of a policy that encrypts; those for everybody have a request id, which is larger: last."""

GONE = frozenset({errno.ENOENT, errno.ESRCH})
UNKNOWN = frozenset({errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT})
XFRM = (XfrmState, XfrmPolicy, XfrmBlock, XfrmDemand)
Policy = XfrmPolicy | XfrmBlock | XfrmDemand


class Xfrm:
    """The XFRM of the namespace in which it was made; nothing where the kernel has none."""

    def __init__(self, marks: Marks) -> None:
        self._reqid = reqid(marks)
        try:
            self._socket: Socket | None = Socket(NETLINK_XFRM)
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
            self._socket = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def observe(self) -> Iterator[Resource]:
        """Ours, as they stand."""
        if self._socket is None:
            return
        for _, body in self._socket.dump(GETSA, b""):
            yield from _association(body, self._reqid)
        for _, body in self._socket.dump(GETPOLICY, b""):
            yield from _policy(body, self._reqid)

    def take(self, steps: Sequence[Step]) -> None:
        """Steps in their order, in one send. Raises Refused."""
        if not steps:
            return
        if self._socket is None:
            raise Refused(steps[0], errno.EPROTONOSUPPORT)
        answers = self._socket.batch([message(step, self._reqid) for step in steps])
        bad = [
            (step, answer)
            for step, answer in zip(steps, answers, strict=True)
            if answer.code and not (step.after is None and answer.code in GONE)
        ]
        if bad:
            refused = {id(step) for step, _ in bad}
            taken = tuple(step for step in steps if id(step) not in refused)
            raise Refused(bad[0][0], bad[0][1].code, taken, bad[0][1].detail)


def message(step: Step, request: int) -> Message:
    """A step as the kernel takes it."""
    item = step.resource
    if isinstance(item, XfrmState):
        return _delete_association(item) if step.after is None else _new_association(item, request)
    assert isinstance(item, Policy)
    if step.after is None:
        return Message(DELPOLICY, 0, _which(item) + struct.pack("=IB3x", 0, _direction(item)))
    return _new_policy(item, request, NEWPOLICY if step.before is None else UPDPOLICY)


def _new_association(item: XfrmState, request: int) -> Message:
    version = item.destination.version
    # The kernel looks an SA up by its SPI; that it serves these two hosts only is in its selector.
    body = _selector(item.source, item.destination, item.port)
    body += ID.pack(_raw(item.destination), item.spi.to_bytes(4), socket.IPPROTO_ESP)
    body += _raw(item.source) + LIFETIME + CURRENT
    body += ASSOCIATION.pack(0, request, FAMILY[version], TRANSPORT, 0, ESN)
    name = ALGORITHM.ljust(64, b"\0")
    aead = AEAD.pack(name, len(item.secret) * 8, CHECK_BITS) + item.secret
    words = WINDOW_PACKETS // 32
    replay = struct.pack("=6I", words, 0, 0, 0, 0, WINDOW_PACKETS) + bytes(words * 4)
    body += attribute(ATTR_AEAD, aead) + attribute(ATTR_REPLAY, replay)
    return Message(NEWSA, 0, body)


def _delete_association(item: XfrmState) -> Message:
    family = FAMILY[item.destination.version]
    body = _raw(item.destination) + item.spi.to_bytes(4)
    return Message(DELSA, 0, body + struct.pack("=HBx", family, socket.IPPROTO_ESP))


def _new_policy(item: Policy, request: int, kind: int) -> Message:
    priority = PRIORITY if isinstance(item, XfrmPolicy) else request
    action = BLOCK if isinstance(item, XfrmBlock) else ALLOW
    body = _which(item) + LIFETIME + CURRENT
    body += POLICY.pack(priority, 0, _direction(item), action, 0, 0)
    return Message(kind, 0, body + _template(item, request))


def _template(item: Policy, request: int) -> bytes:
    """By which SA a packet has to go, or to have come: by any of ours if none is named."""
    if isinstance(item, XfrmBlock):
        return b""
    source = target = spi = b""
    version = item.version if isinstance(item, XfrmDemand) else item.source.version
    if isinstance(item, XfrmPolicy):
        source, target, spi = _raw(item.source), _raw(item.destination), item.spi.to_bytes(4)
    name, rest = ID.pack(target, spi, socket.IPPROTO_ESP), (ANY_ALGORITHM,) * 3
    whole = TEMPLATE.pack(name, FAMILY[version], source, request, TRANSPORT, 0, 0, *rest)
    return attribute(ATTR_TEMPLATE, whole)


def _direction(item: Policy) -> int:
    return IN if isinstance(item, XfrmDemand) else OUT


def _which(item: Policy) -> bytes:
    """The selector of a policy."""
    if isinstance(item, XfrmPolicy):
        return _selector(item.source, item.destination, item.port)
    return _select(bytes(16), bytes(16), item.version, 0, item.port)


def _selector(source: IPAddress, destination: IPAddress, port: int) -> bytes:
    version = source.version
    return _select(_raw(source), _raw(destination), version, BITS[version], port)


def _select(source: bytes, destination: bytes, version: int, bits: int, port: int) -> bytes:
    ports = (port.to_bytes(2), b"\xff\xff", b"\0\0", b"\0\0")
    rest = (FAMILY[version], bits, bits, socket.IPPROTO_UDP, 0, 0)
    return SELECTOR.pack(destination, source, *ports, *rest)


def _raw(address: IPAddress) -> bytes:
    return address.packed.ljust(16, b"\0")


def _address(raw: bytes, family: int) -> IPAddress:
    return ip_address(raw[:4] if family == socket.AF_INET else raw)


def _association(body: bytes, request: int) -> Iterator[XfrmState]:
    """An SA of a dump, if it is ours."""
    at = SELECTOR.size
    port = int.from_bytes(SELECTOR.unpack_from(body)[2])
    destination, spi, protocol = ID.unpack_from(body, at)
    source = body[at + ID.size : at + ID.size + 16]
    at += ID.size + 16 + len(LIFETIME) + len(CURRENT)
    _, found, family, mode, _, _ = ASSOCIATION.unpack_from(body, at)
    if (found, protocol, mode) != (request, socket.IPPROTO_ESP, TRANSPORT):
        return
    aead = attributes(body, at + ASSOCIATION.size).get(ATTR_AEAD, b"")
    ends = (_address(source, family), _address(destination, family))
    yield XfrmState(*ends, int.from_bytes(spi), aead[AEAD.size :], port)


def _policy(body: bytes, request: int) -> Iterator[Policy]:
    """A policy of a dump, if it is ours."""
    destination, source, dport, _, _, _, family, *_ = SELECTOR.unpack_from(body)
    at = SELECTOR.size + len(LIFETIME) + len(CURRENT)
    priority, _, direction, action, _, _ = POLICY.unpack_from(body, at)
    found = attributes(body, at + POLICY.size)
    if direction not in (IN, OUT) or family not in VERSION:
        return
    port = int.from_bytes(dport)
    template = found.get(ATTR_TEMPLATE, b"")
    if not template and (direction, action, priority) == (OUT, BLOCK, request):
        yield XfrmBlock(VERSION[family], port)
    elif len(template) == TEMPLATE.size and TEMPLATE.unpack(template)[3] == request:
        spi = int.from_bytes(ID.unpack_from(template)[1])
        if direction == IN:
            yield XfrmDemand(VERSION[family], port)
        else:
            yield XfrmPolicy(_address(source, family), _address(destination, family), spi, port)
