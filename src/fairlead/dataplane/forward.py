"""Questions that somebody else must answer.

Rule: the client gets exactly one reply: the first good one of any upstream, or
SERVFAIL when four seconds are over or nobody is left, or REFUSED when too many
questions are out already.

Upstreams are asked in order, each a little after the one before, at once if
that one failed; none is given up while time is left. Every question goes out
under its own random id, from a socket of its own, so from its own random port,
and only a reply from that address, with that id and question, counts (RFC 5452).
"""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from fairlead.dataplane.netns import open_socket
from fairlead.dns import message

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fairlead.dns.answer import Upstream, View
    from fairlead.dns.message import Query

TOTAL_SECONDS = 4.0
HEAD_START_SECONDS = 0.3
RESEND_SECONDS = 1.0
MOST_UPSTREAMS = 3
MOST_PER_PROCESS = 1024
MOST_PER_SANDBOX = 256


class Outstanding:
    """How many questions the whole process has out."""

    def __init__(self) -> None:
        self.count = 0


class Forwards:
    """The questions one sandbox has out; owns the descriptor of its namespace."""

    def __init__(self, outstanding: Outstanding, namespace: int) -> None:
        self._outstanding = outstanding
        self._namespace = namespace
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self, view: View, query: Query, wire: bytes, reply: Callable[[bytes], None], *, stream: bool
    ) -> None:
        """Ask the view's upstreams, by TCP if `stream`, and pass the answer to `reply`."""
        if len(self._tasks) >= MOST_PER_SANDBOX or self._outstanding.count >= MOST_PER_PROCESS:
            reply(message.build(query, message.REFUSED))
            return
        self._outstanding.count += 1
        work = self._forward(view, query, wire, reply, stream=stream)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _forward(
        self, view: View, query: Query, wire: bytes, reply: Callable[[bytes], None], *, stream: bool
    ) -> None:
        ask = self._by_tcp if stream else self._by_udp
        upstreams = view.upstreams[:MOST_UPSTREAMS]
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                found = await _first([partial(ask, up, query, wire) for up in upstreams])
        except TimeoutError:
            found = None
        except Exception:
            reply(message.build(query, message.SERVFAIL))
            raise
        if found is None:
            reply(message.build(query, message.SERVFAIL))
        else:
            reply(message.with_id(found, query.id))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._outstanding.count -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "a question could not be forwarded", "exception": error}
            task.get_loop().call_exception_handler(context)

    async def _by_udp(self, upstream: Upstream, query: Query, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with self._open(upstream, socket.SOCK_DGRAM) as sock:
            # Connected: the kernel drops strangers' packets and tells us of ICMP errors.
            sock.connect(_address(upstream))
            id_ = int.from_bytes(os.urandom(2))
            while True:
                sock.send(message.with_id(wire, id_))
                try:
                    async with asyncio.timeout(RESEND_SECONDS):
                        while True:
                            found = await loop.sock_recv(sock, message.LARGEST_BYTES)
                            if message.matches(found, query, id_):
                                return _good(found)
                except TimeoutError:
                    # Perhaps it was lost: ask the same again.
                    continue

    async def _by_tcp(self, upstream: Upstream, query: Query, wire: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with self._open(upstream, socket.SOCK_STREAM) as sock:
            await loop.sock_connect(sock, _address(upstream))
            id_ = int.from_bytes(os.urandom(2))
            await loop.sock_sendall(sock, len(wire).to_bytes(2) + message.with_id(wire, id_))
            length = int.from_bytes(await _exactly(sock, 2))
            found = await _exactly(sock, length)
            if not message.matches(found, query, id_):
                raise ConnectionError("a reply to something else")
            return _good(found)

    def _open(self, upstream: Upstream, kind: int) -> socket.socket:
        family = socket.AF_INET if upstream.address.version == 4 else socket.AF_INET6
        return open_socket(self._namespace if upstream.inside else None, family, kind)

    async def close(self) -> None:
        """Forget the questions that are out and let go of the namespace."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        os.close(self._namespace)


async def _first(attempts: list[Callable[[], Coroutine[Any, Any, bytes]]]) -> bytes | None:
    """The first reply that comes without an OSError, each attempt a bit after the one before."""
    loop = asyncio.get_running_loop()
    left = attempts[::-1]
    running: set[asyncio.Task[bytes]] = set()
    try:
        while left or running:
            if left:
                running.add(loop.create_task(left.pop()()))
            done, running = await asyncio.wait(
                running,
                timeout=HEAD_START_SECONDS if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                # Not there, or not willing: the next one may be.
                if not isinstance(task.exception(), OSError):
                    return task.result()
        return None
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _good(found: bytes) -> bytes:
    """The reply, unless it says that another server should be asked."""
    if message.rcode_of(found) in (message.SERVFAIL, message.REFUSED):
        raise ConnectionRefusedError("the server cannot or will not answer")
    return found


def _address(upstream: Upstream) -> tuple[str, int] | tuple[str, int, int, int]:
    """A socket address that needs no lookup, zone index included."""
    ip = upstream.address
    if not isinstance(ip, IPv6Address) or ip.scope_id is None:
        return str(ip), upstream.port
    zone = ip.scope_id
    index = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    return str(ip).partition("%")[0], upstream.port, 0, index


async def _exactly(sock: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        part = await loop.sock_recv(sock, length - len(data))
        if not part:
            raise ConnectionError("the server hung up")
        data += part
    return data
