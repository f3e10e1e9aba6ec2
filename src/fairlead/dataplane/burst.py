"""Many datagrams in one system call, each way (recvmmsg, sendmmsg).

Rule: a burst is received, worked off and answered before the next one, so one
set of buffers serves every socket of the process. A reply is the query's own
id, sent from where it was received, and the rest of it from where it is kept:
nothing is copied, and no address is made into text and back. A client is known
by the bytes of its socket address, and answered by them.

What costs time here is Python's every line, so in the loop there are few.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from ctypes import addressof, c_char_p, c_int, c_size_t, c_uint, c_void_p, sizeof
from typing import TYPE_CHECKING

from fairlead.dataplane.stats import COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST = 64
# Queries are small; a longer one is cut, and then malformed.
QUERY_BYTES = 2048
# A sockaddr_in6, the longer of the two; the kernel takes it for a sockaddr_in as well.
NAME_BYTES = 28
ID_BYTES = 2
# Upstreams are asked for far less; what fills this is cut.
REPLY_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_receive = _libc.recvmmsg
_receive.argtypes = (c_int, c_void_p, c_uint, c_int, c_void_p)
_send = _libc.sendmmsg
_send.argtypes = (c_int, c_void_p, c_uint, c_int)
_send_one = _libc.sendto
_send_one.argtypes = (c_int, c_char_p, c_size_t, c_int, c_char_p, c_uint)


class _Iov(ctypes.Structure):
    _fields_ = (("base", c_void_p), ("length", c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", c_void_p),
        ("name_length", c_uint),
        ("iov", c_void_p),
        ("iov_count", c_size_t),
        ("control", c_void_p),
        ("control_length", c_size_t),
        ("flags", c_int),
    )


class _Slot(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", c_uint))


class Ready:
    """A reply but for its id, at an address that holds as long as this does."""

    __slots__ = ("_buffer", "address", "length")

    def __init__(self, reply: bytes) -> None:
        self.length = len(reply) - ID_BYTES
        self._buffer = ctypes.create_string_buffer(reply[ID_BYTES:], self.length)
        self.address = addressof(self._buffer)


class Burst:
    """Buffers for the datagrams of one system call and for the replies to them."""

    def __init__(self) -> None:
        self._wires = (ctypes.c_char * (MOST * QUERY_BYTES))()
        self._names = (ctypes.c_char * (MOST * NAME_BYTES))()
        self._in, self._out = (_Slot * MOST)(), (_Slot * MOST)()
        self._in_iov, self._out_iov = (_Iov * MOST)(), (_Iov * (2 * MOST))()
        wires, names = addressof(self._wires), addressof(self._names)
        for i in range(MOST):
            self._in_iov[i] = _Iov(wires + i * QUERY_BYTES, QUERY_BYTES)
            at = addressof(self._in_iov) + i * sizeof(_Iov)
            self._in[i].header = _Header(names + i * NAME_BYTES, NAME_BYTES, at, 1)
            self._out_iov[2 * i] = _Iov(0, ID_BYTES)
            at = addressof(self._out_iov) + 2 * i * sizeof(_Iov)
            self._out[i].header = _Header(0, NAME_BYTES, at, 2)
        # The kernel writes back how long each name was; this sets them all anew.
        self._fresh = bytes(self._in)
        self._slots = memoryview(self._in).cast("B")
        # Columns of the tables above: assignment to a column is the cheapest there is.
        self._lengths = self._slots.cast("I")[_Slot.length.offset // 4 :: sizeof(_Slot) // 4]
        out = memoryview(self._out).cast("B").cast("P")
        self._names_out = out[:: sizeof(_Slot) // sizeof(c_size_t)]
        iov = memoryview(self._out_iov).cast("B").cast("P")
        self._ids, self._replies, self._reply_lengths = iov[::4], iov[2::4], iov[3::4]

    def serve(
        self,
        sock: socket.socket,
        ready: Mapping[bytes, Iterator[Ready]],
        unknown: Callable[[bytes, bytes], None],
    ) -> None:
        """Answer one burst, from `ready` (all of a query but its id), else by `unknown`."""
        self._slots[:] = self._fresh
        descriptor = sock.fileno()
        count = _receive(descriptor, addressof(self._in), MOST, socket.MSG_DONTWAIT, None)
        wires, lengths = memoryview(self._wires).cast("B"), self._lengths
        names = memoryview(self._names).cast("B")
        wires_at, names_at = addressof(self._wires), addressof(self._names)
        # Whatever `unknown` does to the table, these stay until they are sent.
        held: list[Ready] = []
        for i in range(count):
            start = i * QUERY_BYTES
            query = wires[start + ID_BYTES : start + lengths[i]].tobytes()
            known = ready.get(query)
            if known is None:
                name = names[i * NAME_BYTES : (i + 1) * NAME_BYTES].tobytes()
                unknown(wires[start : start + lengths[i]].tobytes(), name)
                continue
            reply, n = next(known), len(held)
            held.append(reply)
            self._names_out[n] = names_at + i * NAME_BYTES
            self._ids[n] = wires_at + start
            self._replies[n] = reply.address
            self._reply_lengths[n] = reply.length
        COUNTS.ready += len(held)
        self._send(descriptor, len(held))

    def _send(self, descriptor: int, count: int) -> None:
        sent = 0
        while sent < count:
            at = addressof(self._out) + sent * sizeof(_Slot)
            done = _send(descriptor, at, count - sent, socket.MSG_DONTWAIT)
            if done < 0 and ctypes.get_errno() == errno.EAGAIN:
                # Nobody fetches: the rest are lost packets, and are asked for again.
                return
            # A firewall inside, or a client that is gone: that one is lost.
            sent += max(done, 1)


class Inbox:
    """Buffers for what upstreams reply: for all sockets of the process, one at a time."""

    def __init__(self) -> None:
        self._wires = (ctypes.c_char * (MOST * REPLY_BYTES))()
        self._slots, self._iov = (_Slot * MOST)(), (_Iov * MOST)()
        for i in range(MOST):
            self._iov[i] = _Iov(addressof(self._wires) + i * REPLY_BYTES, REPLY_BYTES)
            at = addressof(self._iov) + i * sizeof(_Iov)
            # The socket is connected, so nobody asks who sent it.
            self._slots[i].header = _Header(0, 0, at, 1)
        slots = memoryview(self._slots).cast("B").cast("I")
        self._lengths = slots[_Slot.length.offset // 4 :: sizeof(_Slot) // 4]
        self._at = addressof(self._slots)

    def receive(self, descriptor: int) -> list[bytes]:
        """What has arrived on a connected socket. OSError if its other end is not there."""
        count = _receive(descriptor, self._at, MOST, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        lengths, wires = self._lengths, memoryview(self._wires).cast("B")
        starts = range(0, count * REPLY_BYTES, REPLY_BYTES)
        return [wires[at : at + lengths[i]].tobytes() for i, at in enumerate(starts)]


def send_to(descriptor: int, wire: bytes, name: bytes) -> None:
    """Send one datagram to a client.

    A full buffer, a firewall inside, a client that is gone: to a client of UDP it is a lost
    packet, and it asks again.
    """
    _send_one(descriptor, wire, len(wire), socket.MSG_DONTWAIT, name, NAME_BYTES)
