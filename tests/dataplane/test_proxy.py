"""Proxied ports: what one side does, the other side sees."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from tests.dataplane.conftest import proxy

from fairlead.dataplane.change import DropProxy, PointProxy
from fairlead.dataplane.proxy import UdpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fairlead.dataplane.client import Dataplane

LOCAL = ip_address("127.0.0.1")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def bound(kind: socket.SocketKind, address: str = "127.0.0.1") -> socket.socket:
    """A socket on a free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.bind((address, 0))
    return sock


@asynccontextmanager
async def proxied(dataplane: Dataplane, handler: Handler) -> AsyncIterator[tuple[str, int]]:
    """A TCP server behind a proxy; yields the proxy's address."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with bound(socket.SOCK_STREAM) as sock:
        await dataplane.apply([proxy("web", "tcp", LOCAL, port, sock)])
        try:
            yield sock.getsockname()
        finally:
            await dataplane.apply([DropProxy("web")])
            server.close()


async def test_bytes_pass_whole(dataplane: Dataplane) -> None:
    """Twenty megabytes go there and back unchanged."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
        writer.close()

    sent = os.urandom(20 << 20)
    async with proxied(dataplane, echo) as where:
        reader, writer = await asyncio.open_connection(*where)
        received = asyncio.create_task(reader.read(-1))
        writer.write(sent)
        await writer.drain()
        writer.write_eof()
        got = await received
        writer.close()
    assert len(got) == len(sent)
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


async def test_one_direction_may_end_before_the_other(dataplane: Dataplane) -> None:
    """A client that has said all still hears the reply, and a server likewise."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read(-1)
        await asyncio.sleep(0.1)
        writer.write(b"heard " + said)
        writer.close()

    async with proxied(dataplane, handler) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"all of it")
        writer.write_eof()
        assert await reader.read(-1) == b"heard all of it"
        writer.close()

    heard = asyncio.get_running_loop().create_future()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        heard.set_result(await reader.read(-1))
        writer.close()

    async with proxied(dataplane, first) as where:
        reader, writer = await asyncio.open_connection(*where)
        assert await reader.read(-1) == b"bye"
        writer.write(b"still here")
        writer.close()
        assert await heard == b"still here"


async def test_a_reset_is_a_reset(dataplane: Dataplane) -> None:
    """A server that breaks off is seen to break off, not to end."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with proxied(dataplane, handler) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


async def test_an_absent_server_resets_the_client(dataplane: Dataplane) -> None:
    """Nobody behind the port: the client is reset, and does not hang."""
    with bound(socket.SOCK_STREAM) as unused, bound(socket.SOCK_STREAM) as sock:
        port = unused.getsockname()[1]
        await dataplane.apply([proxy("web", "tcp", LOCAL, port, sock)])

        def visit() -> bytes:
            with socket.create_connection(sock.getsockname(), 5) as client:
                return client.recv(1)

        # Perhaps as early as in the middle of connecting.
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(visit)


async def test_a_slow_reader_slows_the_sender(dataplane: Dataplane) -> None:
    """What the other side does not read is not taken from the sender for ever."""
    go = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        count = 0
        while part := await reader.read(1 << 16):
            count += len(part)
        writer.write(str(count).encode())
        writer.close()

    async with proxied(dataplane, handler) as where:
        reader, writer = await asyncio.open_connection(*where)
        sent = await _until_it_stalls(writer, most=256 << 20)
        assert sent < 256 << 20
        go.set()
        writer.write_eof()
        assert int(await reader.read(-1)) == sent
        writer.close()


async def _until_it_stalls(writer: asyncio.StreamWriter, most: int) -> int:
    """Send until a second goes by without progress, and say how much it was."""
    chunk, sent = bytes(1 << 20), 0
    while sent < most:
        writer.write(chunk)
        sent += len(chunk)
        try:
            async with asyncio.timeout(1):
                await writer.drain()
        except TimeoutError:
            break
    return sent


async def test_dropping_a_proxy_frees_its_port(dataplane: Dataplane) -> None:
    """After the drop the port is free and its connections are reset."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.read(-1)
        writer.close()

    async with proxied(dataplane, handler) as where:
        reader, writer = await asyncio.open_connection(*where)
        assert await reader.readexactly(1) == b"x"
        (held,) = (await dataplane.state()).proxies
        assert (held.id, held.proto, held.local) == ("web", "tcp", (LOCAL, where[1]))
        await dataplane.apply([DropProxy("web")])
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()
    assert (await dataplane.state()).proxies == ()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*where)


def _echo(sock: socket.socket, times: int) -> None:
    for _ in range(times):
        data, client = sock.recvfrom(65535)
        sock.sendto(b"re: " + data, client)


async def test_udp_clients_are_kept_apart(dataplane: Dataplane) -> None:
    """Each client gets the replies to its own datagrams, from the address it wrote to."""
    with bound(socket.SOCK_DGRAM) as server, bound(socket.SOCK_DGRAM, "0.0.0.0") as sock:
        port = sock.getsockname()[1]
        await dataplane.apply([proxy("dns", "udp", LOCAL, server.getsockname()[1], sock)])
        echo = asyncio.create_task(asyncio.to_thread(_echo, server, 6))
        with bound(socket.SOCK_DGRAM) as one, bound(socket.SOCK_DGRAM) as two:
            for client in (one, two):
                client.settimeout(60)
            for number, (client, to) in enumerate(
                [(one, "127.0.0.1"), (two, "127.0.0.5"), (one, "127.0.0.9")] * 2
            ):
                word = b"%d" % number
                client.sendto(word, (to, port))
                reply = await asyncio.to_thread(client.recvfrom, 100)
                assert reply == (b"re: " + word, (to, port))
        await echo


async def test_udp_survives_an_absent_server(dataplane: Dataplane) -> None:
    """An ICMP error loses a packet; when the server is back, so are the answers."""
    with bound(socket.SOCK_DGRAM) as reserved:
        to = reserved.getsockname()
    with bound(socket.SOCK_DGRAM) as sock, bound(socket.SOCK_DGRAM) as client:
        await dataplane.apply([proxy("dns", "udp", LOCAL, to[1], sock)])
        client.settimeout(0.2)
        for _ in range(3):
            client.sendto(b"anyone?", sock.getsockname())
            with pytest.raises(TimeoutError):
                client.recv(100)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(to)
            server.settimeout(60)
            client.settimeout(60)
            client.sendto(b"now?", sock.getsockname())
            # The error of an earlier packet may have cost this one.
            client.sendto(b"now?", sock.getsockname())
            await asyncio.to_thread(_echo, server, 1)
            assert client.recv(100) == b"re: now?"


async def test_udp_over_both_families(dataplane: Dataplane) -> None:
    """An IPv6 port may lead to an IPv4 server."""
    with bound(socket.SOCK_DGRAM) as server, bound(socket.SOCK_DGRAM, "::1") as sock:
        await dataplane.apply([proxy("dns", "udp", LOCAL, server.getsockname()[1], sock)])
        with bound(socket.SOCK_DGRAM, "::1") as client:
            client.settimeout(60)
            client.sendto(b"six", sock.getsockname())
            await asyncio.to_thread(_echo, server, 1)
            assert client.recv(100) == b"re: six"


async def test_silent_udp_clients_are_forgotten(host: None) -> None:
    """Who says nothing for the idle time gives its association back, and may come again."""
    with bound(socket.SOCK_DGRAM) as server, bound(socket.SOCK_DGRAM) as client:
        sock = bound(socket.SOCK_DGRAM)
        silent = UdpProxy(sock, LOCAL, server.getsockname()[1], idle_seconds=0.2)
        await silent.start()
        client.sendto(b"one", sock.getsockname())
        _, first = await asyncio.to_thread(server.recvfrom, 100)
        await asyncio.sleep(0.5)
        client.sendto(b"two", sock.getsockname())
        _, second = await asyncio.to_thread(server.recvfrom, 100)
        await silent.close()
    assert first[1] != second[1]


async def test_pointing_elsewhere_breaks_no_connection(dataplane: Dataplane) -> None:
    """A TCP connection that stands stays with its server; the next goes to the new one."""

    def server(word: bytes) -> Handler:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1):
                writer.write(word)
            writer.close()

        return handler

    new = await asyncio.start_server(server(b"n"), "127.0.0.1", 0)
    port = new.sockets[0].getsockname()[1]
    async with proxied(dataplane, server(b"o")) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"?")
        assert await reader.readexactly(1) == b"o"

        await dataplane.apply([PointProxy("web", LOCAL, port)])
        assert [held.to for held in (await dataplane.state()).proxies] == [(LOCAL, port)]
        later_reader, later_writer = await asyncio.open_connection(*where)
        for end in (writer, later_writer):
            end.write(b"?")
        assert await reader.readexactly(1) == b"o"
        assert await later_reader.readexactly(1) == b"n"
        for end in (writer, later_writer):
            end.close()
    new.close()


async def test_udp_clients_follow_at_once(dataplane: Dataplane) -> None:
    """A client in the middle of talking is heard at the new place, of either family."""
    with (
        bound(socket.SOCK_DGRAM) as old,
        bound(socket.SOCK_DGRAM, "::1") as new,
        bound(socket.SOCK_DGRAM) as sock,
        bound(socket.SOCK_DGRAM) as client,
    ):
        for each in (old, new, client):
            each.settimeout(60)
        await dataplane.apply([proxy("dns", "udp", LOCAL, old.getsockname()[1], sock)])
        client.sendto(b"one", sock.getsockname())
        await asyncio.to_thread(_echo, old, 1)
        assert client.recv(100) == b"re: one"

        await dataplane.apply([PointProxy("dns", ip_address("::1"), new.getsockname()[1])])
        client.sendto(b"two", sock.getsockname())
        await asyncio.to_thread(_echo, new, 1)
        assert client.recv(100) == b"re: two"
