"""Published ports that have to go through user space.

Rule: a proxy adds nothing and loses nothing. Bytes, ends of streams and resets
pass from either side to the other, and who sends faster than the other reads
is slowed down, not buffered. A UDP client keeps its association for as long as
either side talks; an ICMP error is a lost packet, not the end.

========================  ===========================
one side                  the other side
========================  ===========================
sends bytes               gets them
ends its direction        sees that end, may still send
resets or breaks          is reset
cannot be reached         is reset
reads slowly              is read slowly
========================  ===========================
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.dns.message import IP

BACKLOG = 1024
UDP_IDLE_SECONDS = 90.0
MOST_CLIENTS = 16384
BURST = 64
LARGEST_DATAGRAM_BYTES = 65535
IP_PKTINFO = 8  # linux/in.h; the socket module has only its IPv6 twin
PKTINFO4 = struct.Struct("=i4s4s")
RESET = struct.pack("=ii", 1, 0)


class TcpProxy:
    """Accepts on one socket and connects every client to one address."""

    def __init__(self, sock: socket.socket, ip: IP, port: int) -> None:
        self._sock = sock
        self._to = (str(ip), port)
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self.open: set[TcpEnd] = set()

    async def start(self) -> None:
        """Listen and serve."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: TcpEnd(self), sock=self._sock, backlog=BACKLOG
        )

    def point(self, ip: IP, port: int) -> None:
        """Lead new connections elsewhere; those that stand go on."""
        self._to = (str(ip), port)

    def connect(self, client: TcpEnd) -> None:
        """Find the other end for a client that has just come."""
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: TcpEnd) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: TcpEnd(self, client), *self._to)
        except OSError:
            # The client learns it as it would without a proxy: refused.
            client.reset()

    async def close(self) -> None:
        """Close the port and every connection through it."""
        if self._server is None:
            self._sock.close()
        else:
            self._server.close()
        connecting = list(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for end in list(self.open):
            end.reset()


class TcpEnd(asyncio.Protocol):
    """One end of a proxied connection; a client's end until it has a peer reads nothing."""

    def __init__(self, proxy: TcpProxy, peer: TcpEnd | None = None) -> None:
        self._proxy = proxy
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join this end to the other one, or look for it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._proxy.open.add(self)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._peer is None:
            transport.pause_reading()
            self._proxy.connect(self)
        else:
            self._peer.join(self)

    def join(self, peer: TcpEnd) -> None:
        """Begin to read: there is somebody to read for."""
        self._peer = peer
        if self._transport is None:
            peer.reset()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        peer = self._peer
        if peer is not None and peer._transport is not None:
            peer._transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end of this direction on; with both at their end the connection is over."""
        self._ended = True
        peer = self._peer
        if peer is None or peer._transport is None:
            return False
        if not peer._ended:
            peer._transport.write_eof()
            return True
        peer._transport.close()
        return False

    def pause_writing(self) -> None:
        """Slow the other side down."""
        peer = self._peer
        if peer is not None and peer._transport is not None and not peer._ended:
            peer._transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side go on."""
        peer = self._peer
        if peer is not None and peer._transport is not None and not peer._ended:
            peer._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the other side along."""
        self._transport = None
        self._proxy.open.discard(self)
        peer, self._peer = self._peer, None
        if peer is None or peer._transport is None:
            return
        if exc is not None or not self._ended:
            peer.reset()
        else:
            peer._transport.close()

    def reset(self) -> None:
        """Break this end so that its client sees a reset."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()


# A client and the address of ours that it talks to: the reply must come from there.
Flow = tuple[Any, bytes]


@dataclass(slots=True, eq=False)
class Association:
    """What one UDP client is connected to, and when either last said something."""

    sock: socket.socket
    heard_at: float


class UdpProxy:
    """Passes datagrams between one socket's clients and one address."""

    def __init__(
        self, sock: socket.socket, ip: IP, port: int, idle_seconds: float = UDP_IDLE_SECONDS
    ) -> None:
        self._sock = sock
        self._to = (str(ip), port)
        self._idle_seconds = idle_seconds
        self._family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        self._flows: dict[Flow, Association] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Serve."""
        self._sock.setblocking(False)
        if self._sock.family == socket.AF_INET:
            self._sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        asyncio.get_running_loop().add_reader(self._sock, self._from_clients)

    def point(self, ip: IP, port: int) -> None:
        """Lead every client elsewhere, from its next datagram on.

        A client that never pauses would otherwise talk to where nobody is any more.
        """
        to = (str(ip), port)
        if to == self._to:
            return
        self._to = to
        self._family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        for flow in list(self._flows):
            self._end(flow)

    async def close(self) -> None:
        """Close the port and every association."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        self._sock.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for flow in list(self._flows):
            self._end(flow)

    def _from_clients(self) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(BURST):
            try:
                data, control, _, client = self._sock.recvmsg(LARGEST_DATAGRAM_BYTES, 64)
            except OSError:
                # Nothing more, or an error about an earlier packet, which is lost anyway.
                return
            flow = (client, _local(control))
            association = self._flows.get(flow) or self._begin(flow)
            if association is not None:
                association.heard_at = now
                _pass(association.sock, data)

    def _begin(self, flow: Flow) -> Association | None:
        if len(self._flows) >= MOST_CLIENTS:
            return None
        loop = asyncio.get_running_loop()
        try:
            sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:
            # No descriptors left: a lost packet, as when a router's table is full.
            return None
        try:
            sock.connect(self._to)
        except OSError:
            # No route now; the client's next packet tries again.
            sock.close()
            return None
        association = Association(sock, loop.time())
        self._flows[flow] = association
        loop.add_reader(sock, self._from_server, flow, association)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_seconds / 3, self._sweep)
        return association

    def _from_server(self, flow: Flow, association: Association) -> None:
        client, local = flow
        control = []
        if local:
            four = self._sock.family == socket.AF_INET
            level = socket.IPPROTO_IP if four else socket.IPPROTO_IPV6
            control = [(level, IP_PKTINFO if four else socket.IPV6_PKTINFO, local)]
        association.heard_at = asyncio.get_running_loop().time()
        for _ in range(BURST):
            try:
                data = association.sock.recv(LARGEST_DATAGRAM_BYTES)
            except OSError:
                # Nothing more, or an ICMP error: the server may be back for the next packet.
                return
            try:
                self._sock.sendmsg([data], control, 0, client)
            except OSError:
                # The client is gone or its way is full: a lost packet.
                return

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - self._idle_seconds
        for flow in [flow for flow, link in self._flows.items() if link.heard_at < before]:
            self._end(flow)
        self._sweeper = (
            loop.call_later(self._idle_seconds / 3, self._sweep) if self._flows else None
        )

    def _end(self, flow: Flow) -> None:
        association = self._flows.pop(flow)
        asyncio.get_running_loop().remove_reader(association.sock)
        association.sock.close()


def _pass(sock: socket.socket, data: bytes) -> None:
    try:
        sock.send(data)
    except OSError:
        # Either this packet is lost, or it brought the ICMP error of the last one.
        return


def _local(control: list[tuple[int, int, bytes]]) -> bytes:
    """Packet info that makes a reply leave from the address the client wrote to."""
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            _, spec, _ = PKTINFO4.unpack(data)
            return PKTINFO4.pack(0, spec, bytes(4))
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            # Without the interface: the route decides, unless only the link knows the address.
            link_local = data[:2] == b"\xfe\x80"
            return data if link_local else data[:16] + bytes(4)
    return b""
