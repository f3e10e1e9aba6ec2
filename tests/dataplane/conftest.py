"""A dataplane process, a sandbox to serve, name servers to forward to, and clients.

As root everything happens in network namespaces of the test's own, where the sandbox is a
second one behind a link; for other users both are the machine's loopback, on free ports.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from fairlead.dataplane.change import AddProxy, AddResolver, PutNames
from fairlead.dataplane.client import Dataplane
from fairlead.dns.answer import Upstream, View
from fairlead.dns.message import IP

CLONE_NEWNET = 0x40000000
SOURCE = Path(__file__).resolve().parents[2] / "src"
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def aside(work: Callable[[], T]) -> T:
    """Do something on a thread of its own, whose namespace is nobody else's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@pytest.fixture
def host() -> Iterator[None]:
    """A network of the test's own, where the user may have one."""
    if os.geteuid() != 0:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    _check(_libc.unshare(CLONE_NEWNET))
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNET))
        os.close(home)


@dataclass
class Sandbox:
    """Where the clients are: two sockets at the name server's address, and ways to ask them."""

    namespace: int
    address: str
    udp: socket.socket = field(init=False)
    tcp: socket.socket = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        """Bind the sockets inside."""
        self.udp = self.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind((self.address, 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = self.inside(socket.socket)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((self.address, self.port))

    def resolver(self, view: View, id_: str = "s1") -> AddResolver:
        """The change that lets it be served."""
        udp, tcp = self.udp.fileno(), self.tcp.fileno()
        return AddResolver(id_, view, udp, tcp, self.namespace)

    def inside(self, work: Callable[[], T]) -> T:
        """Do something inside."""

        def entered() -> T:
            if os.geteuid() == 0:
                _check(_libc.setns(self.namespace, CLONE_NEWNET))
            return work()

        return aside(entered)

    async def ask(
        self, name: str, type_: str = "A", *, tcp: bool = False, timeout: float = 30, **how: Any
    ) -> dns.message.Message:
        """Ask the name server from inside."""
        question = dns.message.make_query(name, type_, **how)
        query = dns.query.tcp if tcp else dns.query.udp

        def work() -> dns.message.Message:
            return query(question, self.address, timeout=timeout, port=self.port)

        return await asyncio.to_thread(self.inside, work)

    def connect(self) -> socket.socket:
        """A client's TCP connection to the name server."""
        return self.inside(lambda: socket.create_connection((self.address, self.port), 10))

    def close(self) -> None:
        """Forget everything about it."""
        self.udp.close()
        self.tcp.close()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


@pytest.fixture
def sandbox(host: None) -> Iterator[Sandbox]:
    """A sandbox; as root it is joined to the host by the link `outside`."""
    if os.geteuid() != 0:
        found = Sandbox(os.open("/proc/self/ns/net", os.O_RDONLY), "127.0.0.1")
    else:
        found = Sandbox(aside(_namespace), "127.0.0.11")
    yield found
    found.close()


@pytest.fixture
def other(host: None) -> Iterator[Sandbox]:
    """Another one, in the host's own namespace."""
    found = Sandbox(os.open("/proc/thread-self/ns/net", os.O_RDONLY), "127.0.0.1")
    yield found
    found.close()


def _namespace() -> int:
    """A new namespace, with `lo` up and a link to the one the thread came from."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    _check(_libc.unshare(CLONE_NEWNET))
    after = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    peer = ["ip", "link", "add", "outside", "type", "veth", "peer", "name", "inside"]
    _check(_libc.setns(before, CLONE_NEWNET))
    path = f"/proc/self/fd/{after}"
    subprocess.run([*peer, "netns", path], check=True, pass_fds=[after])
    os.close(before)
    return after


@pytest.fixture
async def dataplane(
    host: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Dataplane]:
    """A running process, and the daemon's connection to it."""
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    found = Dataplane(tmp_path / "dataplane" / "control.sock", tmp_path / "log")
    assert await found.ensure()
    yield found
    await found.ensure()
    await found.stop()
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said, said


Reply = Callable[[dns.message.Message], dns.message.Message | None]


class Server(asyncio.DatagramProtocol):
    """A name server for the test: replies by UDP and TCP, and remembers the questions."""

    def __init__(self, reply: Reply, delay_seconds: float) -> None:
        self.asked: list[tuple[str, dns.message.Message]] = []
        self._reply = reply
        self._delay_seconds = delay_seconds
        self._udp: asyncio.DatagramTransport | None = None
        self.upstream: Upstream
        self.ports: set[int] = set()
        self._streams: set[asyncio.Task[None]] = set()

    async def start(self, opened: Callable[[Callable[[], socket.socket]], socket.socket]) -> None:
        """Serve on a free port of sockets that `opened` makes."""
        loop = asyncio.get_running_loop()
        udp = opened(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.setblocking(False)
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
        tcp = opened(socket.socket)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", port))
        self._tcp = await asyncio.start_server(self._stream, sock=tcp)
        self.upstream = Upstream(ip_address("127.0.0.1"), port)

    def send(self, reply: dns.message.Message, port: int) -> None:
        """Send a datagram to a client's port."""
        assert self._udp is not None
        self._udp.sendto(reply.to_wire(), ("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Reply, unless this server does not."""
        self.ports.add(addr[1])
        reply = self._answer("udp", data)
        if reply is not None:
            asyncio.get_running_loop().call_later(self._delay_seconds, self.send, reply, addr[1])

    def _answer(self, how: str, data: bytes) -> dns.message.Message | None:
        question = dns.message.from_wire(data)
        self.asked.append((how, question))
        return self._reply(question)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            reply = self._answer("tcp", data)
            await asyncio.sleep(self._delay_seconds)
            if reply is not None:
                writer.write(len(reply.to_wire()).to_bytes(2) + reply.to_wire())
            await reader.read(-1)
        finally:
            writer.transport.abort()

    async def close(self) -> None:
        """Stop."""
        assert self._udp is not None
        self._udp.abort()
        self._tcp.close()
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)


def says(*addresses: str, flags: int = 0) -> Reply:
    """A server that has these addresses for every name."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        found = dns.message.make_response(question, recursion_available=True)
        found.flags |= flags
        found.answer = [dns.rrset.from_text(question.question[0].name, 60, "IN", "A", *addresses)]
        return found

    return reply


def fails(rcode: dns.rcode.Rcode) -> Reply:
    """A server that refuses."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        found = dns.message.make_response(question)
        found.set_rcode(rcode)
        return found

    return reply


def silent(_: dns.message.Message) -> None:
    """A server that never replies."""


ServerMaker = Callable[..., Awaitable[Server]]


@pytest.fixture
async def server(host: None) -> AsyncIterator[ServerMaker]:
    """Makes name servers, on the host unless a sandbox is given."""
    made: list[Server] = []

    async def make(reply: Reply, delay_seconds: float = 0, within: Sandbox | None = None) -> Server:
        found = Server(reply, delay_seconds)
        await found.start(within.inside if within else lambda work: work())
        made.append(found)
        return found

    yield make
    for each in made:
        await each.close()


def named(endpoint: str, *found: str | IP, zone: str = "n1") -> PutNames:
    """An endpoint of network n1: its names, and its addresses."""
    names = tuple(each for each in found if isinstance(each, str))
    ips = tuple(each for each in found if not isinstance(each, str))
    return PutNames(zone, endpoint, names, ips, f"{names[0]}.{zone}.")


def proxy(id_: str, protocol: str, address: IP, port: int, sock: socket.socket) -> AddProxy:
    """The change that lets a bound socket lead somewhere."""
    return AddProxy(id_, protocol, address, port, sock.fileno())


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def addresses(reply: dns.message.Message) -> list[str]:
    """All addresses in a reply, in its order."""
    return [str(record) for rrset in reply.answer for record in rrset]


WEB, TWIN, THIRD = (ip_address(f"172.18.0.{number}") for number in (2, 3, 4))
NAMES = (
    named("e1", "web", "all", WEB),
    named("e2", "twin", "all", TWIN),
    named("e3", "third", "all", THIRD),
    named("e4", "many", *(ip_address(f"10.0.{number}.1") for number in range(100))),
)
VIEW = View(zones=("n1",))


async def serve(dataplane: Dataplane, sandbox: Sandbox, view: View) -> None:
    """Let a sandbox on n1 be served."""
    await dataplane.apply([*NAMES, sandbox.resolver(view)])
