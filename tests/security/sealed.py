"""Two hosts with an encrypted network and an open one, and an ear on the wire between them.

::

    n1: 10.77.0.1 sealed, 10.77.1.1 open         n2: 10.77.0.2 sealed, 10.77.1.2 open
        │ VXLAN                                      │
    h1: 192.0.2.1, 2001:db8::1  ═══════════════  h2: 192.0.2.2, 2001:db8::2

As with containers, the tunnels' devices are in namespaces of their own, and their packets
travel in the hosts'. What fairlead has in the hosts its kernel adapter wrote.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from fairlead.cluster import keyring, sealing
from fairlead.driver.wrapping import inside
from fairlead.firewall import tunnels
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.netns import CLONE_NEWNET, _call
from fairlead.model import tunnel
from fairlead.model.keyring import Keyring
from fairlead.model.marks import Marks
from fairlead.model.state import IPAddress, Resource, Scope, State, state
from fairlead.model.step import Step
from fairlead.model.tunnel import SEALED_PORT
from fairlead.plan.diff import diff
from tests.security.frames import UDP, Seen
from tests.security.place import Place
from tests.security.wire import PATIENCE_SECONDS, Wire

T = TypeVar("T")
ESP = 50
PORT = 7000
SECRETS = (b"a" * 32, b"b" * 32, b"c" * 32)
SEALED, OPEN = {4: 256, 6: 258}, {4: 257, 6: 259}
"""An encrypted network and an open one over either family of hosts' addresses."""
UNDERLAY = {4: "192.0.2.", 6: "2001:db8::"}
MARKS = Marks("c0ffee00", "TEST")
WIRE_BYTES = 1500
NO_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")


def ip(script: str, namespace: str = "") -> None:
    """Words of the program ip, many at once: a program costs a second here."""
    where = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *where, "-batch", "-"], input=script, check=True, text=True)


class Host:
    """A host: its kernel adapter on a thread in its namespace, and its containers' namespace."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.name, self.inner = f"h{number}", f"n{number}"
        self.outside = Place(self.name, Path("/run/netns", self.name))
        self.inside = Place(self.inner, Path("/run/netns", self.inner))
        # Nothing is to speak on these networks by itself.
        self.inside.there(lambda: NO_IPV6.write_text("1"))
        self._addresses(f"addr add {UNDERLAY[4]}{number}/24 dev wire")
        ip(
            "".join(_device(vni, v, number) for v in (4, 6) for vni in (SEALED[v], OPEN[v])),
            self.name,
        )
        ip("".join(_inner(vni, number) for v in (4, 6) for vni in (SEALED[v], OPEN[v])), self.inner)
        lines = [_entry(vni, v, number) for v in (4, 6) for vni in (SEALED[v], OPEN[v])]
        words = ["ip", "netns", "exec", self.inner, "bridge", "-batch", "-"]
        subprocess.run(words, input="".join(lines), check=True, text=True)
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=self._enter)
        self.kernel = self.on(lambda: LinuxKernel(folder / self.name, MARKS))

    def _addresses(self, four: str) -> None:
        six = f"addr add {UNDERLAY[6]}{self.number}/64 dev wire nodad"
        ip(f"{four}\n{six}\nlink set wire up\n", self.name)

    def _enter(self) -> None:
        with open(f"/run/netns/{self.name}") as space:
            _call("setns", space.fileno(), CLONE_NEWNET)

    def on(self, work: Callable[[], T]) -> T:
        """Does something on the kernel thread."""
        return self._thread.submit(work).result()

    def close(self) -> None:
        self.on(self.kernel.close)
        self._thread.shutdown()
        self.outside.close()
        self.inside.close()

    def address(self, version: int) -> IPAddress:
        return ip_address(f"{UNDERLAY[version]}{self.number}")

    def observe(self) -> State:
        return self.on(lambda: self.kernel.observe(Scope()))

    def apply(self, *steps: Step) -> None:
        self.on(lambda: self.kernel.apply(steps))

    def become(self, want: State) -> None:
        """Whatever is there, it is now so."""
        self.apply(*diff(want, self.observe()))
        self.on(self.kernel.reap)

    def ip(self, words: str) -> str:
        command = ["ip", "-n", self.name, *words.split()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _device(vni: int, version: int, number: int) -> str:
    sealed = vni == SEALED[version]
    mtu, port = inside(WIRE_BYTES, version, sealed), SEALED_PORT if sealed else tunnel.PORT
    return (
        f"link add vx{vni} mtu {mtu} type vxlan id {vni} dstport {port} nolearning "
        f"local {UNDERLAY[version]}{number}\nlink set vx{vni} netns n{number}\n"
    )


def _inner(vni: int, number: int) -> str:
    mac, other = (f"02:42:00:00:{vni & 255:02x}:0{n}" for n in (number, 3 - number))
    return (
        f"link set vx{vni} address {mac} up\naddr add {inner(vni, number)}/24 dev vx{vni}\n"
        f"neigh replace {inner(vni, 3 - number)} dev vx{vni} lladdr {other} nud permanent\n"
    )


def _entry(vni: int, version: int, number: int) -> str:
    there = f"{UNDERLAY[version]}{3 - number}"
    return f"fdb append 00:00:00:00:00:00 dev vx{vni} dst {there}\n"


def inner(vni: int, number: int) -> str:
    """The address of host 1's or 2's container on a network."""
    return f"10.77.{vni & 255}.{number}"


def wanted(ring: Keyring, host: Host, version: int) -> State:
    """What a host has for the two networks over a family."""
    here, there = host.address(version), ip_address(f"{UNDERLAY[version]}{3 - host.number}")
    found: list[Resource] = [*tunnels.base(MARKS, here), *tunnels.sealed(MARKS)]
    found += sealing.base(version)
    for vni in (SEALED[version], OPEN[version]):
        encrypted = vni == SEALED[version]
        found += tunnels.of_network(MARKS, vni, encrypted)
        found += tunnels.of_peer(MARKS, vni, there, encrypted)
    return state([*found, *sealing.between(ring, here, there)])


def born(*hosts: Host) -> Keyring:
    """A keyring that has these hosts."""
    found = keyring.first(0, SECRETS)
    for host in hosts:
        for version in UNDERLAY:
            found = keyring.joined(found, host.address(version), bytes([host.number]) * 16)
    return found


class Pair:
    """Two hosts, and an ear on the wire between them. They speak over one family at a time."""

    def __init__(self, folder: Path) -> None:
        ip("".join(f"netns add {name}\n" for name in ("h1", "h2", "n1", "n2")))
        ip("link add wire type veth peer name wire netns h2\n", "h1")
        self.hosts = (Host(1, folder), Host(2, folder))
        self.wire = Wire(self.hosts[0].outside, "wire", outgoing=True)
        self.version = 4
        self._marks = 0

    def close(self) -> None:
        self.wire.__exit__(None, None, None)
        for host in self.hosts:
            host.close()
        ip("".join(f"netns del {name}\n" for name in ("h1", "h2", "n1", "n2")))

    def protect(self, ring: Keyring) -> None:
        """Both hosts have what they need."""
        for host in self.hosts:
            host.become(wanted(ring, host, self.version))

    def passes(self, sender: int, payload: bytes = b"") -> bool:
        """Whether a datagram of host 1's or 2's gets through the encrypted network.

        What gets through the open network behind it shows that it had its chance.
        """
        source, target = self.hosts[sender - 1], self.hosts[2 - sender]
        sealed, open_ = SEALED[self.version], OPEN[self.version]
        self._marks += 1
        mark = struct.pack("!I", self._marks)
        with receiver(target, sealed) as there, receiver(target, open_) as behind:
            send(source, target, sealed, mark + payload)
            send(source, target, open_, mark)
            assert behind.recv(100) == mark
            there.setblocking(False)
            try:
                return there.recv(70000)[:4] == mark
            except BlockingIOError:
                return False

    def heard(self) -> list[Seen]:
        """What was on the wire since the last time."""
        self.wire.listen()
        found, self.wire.heard = self.wire.heard, []
        return found

    def in_the_clear(self) -> set[int]:
        """The networks of which something could be read on the wire since the last time."""
        return set(map(plain, self.heard())) - {0}


def receiver(host: Host, vni: int) -> socket.socket:
    sock = host.inside.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE_SECONDS)
    sock.bind((inner(vni, host.number), PORT))
    return sock


def send(source: Host, target: Host, vni: int, payload: bytes) -> None:
    with source.inside.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(payload, (inner(vni, target.number), PORT))


def plain(seen: Seen) -> int:
    """The VNI of a VXLAN packet that is to be read by anybody; 0 for other packets."""
    if seen.protocol != UDP or seen.ports[1] not in (tunnel.PORT, SEALED_PORT):
        return 0
    return int(struct.unpack_from("!I", seen.payload, 4)[0]) >> 8
