"""Announcing who has an address now, to those who remember somebody else.

For IPv4 a gratuitous ARP packet, for IPv6 an unsolicited neighbour advertisement that
overrides (RFC 4861, 7.2.6): who has an entry for the address changes it, who has none makes
none. Either a bridge says it to all of its ports, or a link in a sandbox says it of itself;
then the host hears it as well, a bridge learns behind which port the MAC is, and on a parent
it is heard by its other links and on the wire.

The bridge's ARP packet is a reply (RFC 5944, 4.6): a request would be answered by its owner,
who is on the bridge, too. The link's is a request (RFC 5227, 3): there are routers that learn
nothing from a reply that they did not ask for.

Why frames, when the kernel announces by itself (`arp_notify`, `ndisc_notify`): it does so when
a link goes up, and only of the addresses that are there by then. Ours come later, and one that
is sure from the start (no DAD) is never announced. What it says at that moment is lost, too:
the bridge opens its port a moment after the cable is up.

To close a packet socket takes the kernel 16 ms, as it waits until nobody looks at it. So they
are closed by threads that nobody waits for.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby

from fairlead.kernel import rtrows
from fairlead.kernel.netlink import Socket
from fairlead.kernel.netns import Namespaces
from fairlead.model.checksum import checksum
from fairlead.model.state import IPAddress
from fairlead.model.step import Announce

EVERYBODY = b"\xff" * 6
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
ALL_NODES_MAC = bytes.fromhex("333300000001")
ARP_TYPE, IPV6_TYPE = 0x0806, 0x86DD
ARP_REQUEST, ARP_REPLY = 1, 2
ETHERNET = 1
CLOSERS = 4
ADVERTISEMENT, OVERRIDE, TARGET_LINK = 136, 0x20000000, 2
ICMPV6 = 58
GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENETDOWN})
"""The namespace is gone, or the link, or it is down."""


class Crier:
    """Lets links and bridges say where addresses are. On the kernel thread."""

    def __init__(self, namespaces: Namespaces, host: Socket) -> None:
        self._namespaces = namespaces
        self._host = host
        self._closers = ThreadPoolExecutor(CLOSERS, "fairlead-close")

    def close(self) -> None:
        """Let the last sockets be closed."""
        self._closers.shutdown(wait=True)

    def say(self, items: Iterable[Announce]) -> tuple[Announce, ...]:
        """Say it once; what nobody would hear yet is not said and comes back. Raises OSError."""
        ports: dict[str, bool] = {}
        early: list[Announce] = []
        ready: list[Announce] = []
        for item in items:
            if item.port and item.port not in ports:
                ports[item.port] = rtrows.forwards(self._host, item.port)
            (ready if ports.get(item.port, True) else early).append(item)
        for (namespace, link), group in _by_link(ready):
            try:
                with self._namespaces.entered(namespace):
                    self._speak(link, group)
            except OSError as error:
                if error.errno not in GONE:
                    raise
        return tuple(early)

    def tell(self, effects: Iterable[Announce]) -> None:
        """Let bridges say it once. Whoever's is gone has nobody to be told. Raises OSError."""
        for (namespace, link), group in _by_link(effects):
            try:
                with self._namespaces.entered(namespace), self._speaking(link) as sock:
                    for effect in group:
                        sock.send(frame(effect))
            except OSError as error:
                if error.errno not in GONE:
                    raise

    def _speak(self, link: str, group: Iterable[Announce]) -> None:
        with self._speaking(link) as sock:
            _, _, _, kind, mac = sock.getsockname()
            for item in group if kind == ETHERNET else ():
                sock.send(_frame(item.address, mac, ARP_REQUEST))

    @contextmanager
    def _speaking(self, link: str) -> Iterator[socket.socket]:
        """A socket on a link of the namespace that the thread is in."""
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
        try:
            sock.bind((link, 0))
            yield sock
        finally:
            self._closers.submit(sock.close)


def _by_link(
    items: Iterable[Announce],
) -> Iterator[tuple[tuple[str, str], Iterator[Announce]]]:
    ordered = sorted(items, key=lambda e: (e.namespace, e.link, str(e.address)))
    yield from groupby(ordered, key=lambda e: (e.namespace, e.link))


def frame(effect: Announce) -> bytes:
    """The Ethernet frame by which a bridge says where an address is."""
    return _frame(effect.address, bytes.fromhex(effect.mac.replace(":", "")), ARP_REPLY)


def _frame(address: IPAddress, mac: bytes, operation: int) -> bytes:
    raw = address.packed
    if address.version == 4:
        # A reply has the new MAC twice: Linux takes no other for gratuitous, and waits a second.
        target = mac if operation == ARP_REPLY else bytes(6)
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + raw + target + raw
        return EVERYBODY + mac + struct.pack("!H", ARP_TYPE) + arp
    said = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE) + raw
    said += struct.pack("!BB", TARGET_LINK, 1) + mac
    pseudo = raw + ALL_NODES + struct.pack("!IxxxB", len(said), ICMPV6)
    said = said[:2] + struct.pack("!H", checksum(pseudo + said)) + said[4:]
    head = struct.pack("!IHBB", 0x60000000, len(said), ICMPV6, 255) + raw + ALL_NODES
    return ALL_NODES_MAC + mac + struct.pack("!H", IPV6_TYPE) + head + said
