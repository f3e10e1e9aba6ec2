"""A host with a network of every kind, neighbours around it, and a way to see who reaches whom.

::

    outsider 192.0.2.9 ── up0 192.0.2.1 ┐
                                        host ── one bridge a network, two containers on each
    trusted 198.51.100.9 ── up1 …100.1  ┘

Both neighbours have routes to every container. There is no proxy and no daemon:
what packets do is the firewall's doing alone.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network
from itertools import product
from pathlib import Path

from fairlead.driver import bridge
from fairlead.driver.site import NOWHERE
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.netns import Namespaces
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.iptables import Policy
from fairlead.model.network import Network, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, IPAddress, Namespace, Resource, Route, Scope, Sysctl, Veth
from fairlead.model.world import Change, World
from fairlead.plan.diff import diff

BRIDGE = "com.docker.network.bridge."
OPEN, SHUT = 80, 90
"""The port that is published in each container, and one that is not."""
PATIENCE_SECONDS = 1.2
EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
ACCEPTING = tuple(Policy(family, "filter", "FORWARD", "ACCEPT") for family in ("ip", "ip6"))
LOOPBACK = ip_address("127.0.0.1")
HOST_ADDRESSES = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8:1::1")}


def networks() -> Iterator[Network]:
    """Every combination of options that the firewall treats differently."""
    kinds = [
        (mode, icc, masquerade, trusted, False)
        for mode, icc, masquerade, trusted in product(
            ("nat", "nat-unprotected", "routed"), (True, False), (True, False), ("", "up1")
        )
        # Of a network that is open anyway nobody needs trust.
        if not (trusted and mode != "nat")
    ]
    kinds += [(mode, icc, True, "", True) for mode in ("nat", "isolated") for icc in (True, False)]
    for number, (mode, icc, masquerade, trusted, internal) in enumerate(kinds):
        options = {
            BRIDGE + "name": f"br-{number}",
            BRIDGE + "gateway_mode_ipv4": mode,
            BRIDGE + "gateway_mode_ipv6": mode,
            BRIDGE + "enable_icc": str(icc).lower(),
            BRIDGE + "enable_ip_masquerade": str(masquerade).lower(),
            BRIDGE + "trusted_host_interfaces": trusted,
        }
        four, six = ip_network(f"10.{number}.0.0/24"), ip_network(f"fd00:{number + 1:x}::/64")
        gateway = mode != "isolated"
        pools = tuple(Pool(subnet, subnet[1] if gateway else None) for subnet in (four, six))
        closed = "internal" if internal else trusted or "plain"
        words = (mode, "icc" if icc else "quiet", "masq" if masquerade else "bare", closed)
        name = "-".join(words)
        yield Network(
            f"{number:064x}", name, "bridge", number, pools, options, internal=internal,
            enable_ipv6=True,
        )  # fmt: skip


def world() -> World:
    """Two containers on each network; the first of them published where that is possible."""
    things: list[Network | Sandbox | Endpoint] = []
    for number, net in enumerate(networks()):
        things.append(net)
        routed = net.bridge.mode4 == "routed"
        for place in (2, 3):
            box = f"{number:06x}{place:06x}"
            ports: tuple[Port, ...] = ()
            if place == 2 and not net.internal:
                outside = 0 if routed else 20000 + number
                hosts = [ip_address("0.0.0.0"), ip_address("::")]
                ports = tuple(Port("tcp", OPEN, host, outside) for host in hosts)
            things.append(Sandbox(box, box, f"{net.name}-{place}", box, ports=ports))
            addresses = tuple(
                ip_interface(f"{pool.subnet[place]}/{pool.subnet.prefixlen}") for pool in net.pools
            )
            gateways = tuple(pool.gateway for pool in net.pools if pool.gateway is not None)
            mac = f"02:42:00:00:{number:02x}:{place:02x}"
            veth = f"v{number}-{place}"
            things.append(Endpoint(f"e{box}", net.id, box, veth, "eth0", mac, addresses, gateways))
    return World().after(Change(put=tuple(things)))


def ground(world: World, proxied: bool = True) -> list[Resource]:
    """All that is wanted but the firewall."""
    found: list[Resource] = [
        Sysctl(HOST, "net/ipv4/ip_forward", "1"),
        Sysctl(HOST, "net/ipv6/conf/all/forwarding", "1"),
    ]
    for net in world.networks.values():
        found += bridge.network(net, NOWHERE)
        localnet = f"net/ipv4/conf/{net.ifname}/route_localnet"
        found.append(Sysctl(HOST, localnet, str(int(not proxied)), net.ifname))
    for box in world.sandboxes.values():
        found.append(Namespace(box.namespace))
        for end in world.in_sandbox(box.id):
            net = world.networks[end.network]
            for item in bridge.endpoint(net, end, box, NOWHERE):
                found.append(replace(item, hairpin=not proxied) if isinstance(item, Veth) else item)
            # Also where we would give none: the rules must not rest on missing routes.
            for pool in net.pools:
                way, gateway = EVERYWHERE[pool.subnet.version], pool.subnet[1]
                found.append(Route(box.namespace, way, gateway, "eth0"))
    return found


@dataclass(frozen=True)
class Probe:
    """Who asks whom: names of places, an address and a TCP port."""

    source: str
    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> [{self.address}]:{self.port}"


@dataclass
class Field:
    """The host, its containers and its neighbours, with servers everywhere."""

    kernel: LinuxKernel
    world: World
    folder: Path
    mark: int = 0
    """Put on what comes in from the outsider."""
    _neighbours: Namespaces = field(init=False)
    _servers: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._neighbours = Namespaces(self.folder)

    @contextmanager
    def entered(self, place: str) -> Iterator[None]:
        """Be at a place: a sandbox, a neighbour, or the host."""
        if place in ("outsider", "trusted"):
            with self._neighbours.entered(place):
                yield
        else:
            with self.kernel.namespaces.entered("" if place == "host" else place):
                yield

    def build(self, stack: ExitStack) -> None:
        """Everything but the firewall."""
        _run("ip", "link", "set", "lo", "up")
        for name, link, four, six in (
            ("outsider", "up0", "192.0.2", "2001:db8:1"),
            ("trusted", "up1", "198.51.100", "2001:db8:2"),
        ):
            self._neighbours.make(name)
            stack.callback(self._neighbours.drop, name)
            _neighbour(self._neighbours, name, link, four, six)
        self.switch(ground(self.world))
        for name in ("outsider", "trusted"):
            self._route(name)
        for place in ("outsider", "trusted", *self._boxes()):
            with self.entered(place):
                for port in (OPEN, SHUT):
                    self._servers.append(_server(port))
        for server in self._servers:
            stack.callback(server.close)

    def switch(self, want: list[Resource]) -> None:
        """Make the host so; of two things of one name the later counts."""
        wanted = {item.key: item for item in (*ACCEPTING, *want)}
        scope = Scope(frozenset(key for key, item in wanted.items() if item.LASTING))
        for _ in range(2):
            self.kernel.apply(diff(wanted, self.kernel.observe(scope)))

    def _boxes(self) -> list[str]:
        return [box.namespace for box in self.world.sandboxes.values()]

    def _route(self, name: str) -> None:
        four, six = (("192.0.2.1", "2001:db8:1::1"), ("198.51.100.1", "2001:db8:2::1"))[
            name == "trusted"
        ]
        with self.entered(name):
            _run("ip", "route", "add", "default", "via", four)
            _run("ip", "-6", "route", "add", "default", "via", six)

    def probes(self) -> list[Probe]:
        """Every question worth asking."""
        firsts = [
            (self.world.sandboxes[e.sandbox].namespace, e)
            for e in self.world.endpoints.values()
            if e.ifname.endswith("-2")
        ]
        seconds = {
            e.network: self.world.sandboxes[e.sandbox].namespace
            for e in self.world.endpoints.values()
            if e.ifname.endswith("-3")
        }
        found = []
        for number, (place, end) in enumerate(firsts):
            others = [name for name, _ in firsts if name != place]
            sources = ["outsider", "trusted", seconds[end.network], *others]
            for source, address, port in product(sources, end.addresses, (OPEN, SHUT)):
                found.append(Probe(source, address.ip, port))
            for source, host in product(("outsider", "trusted", "host"), HOST_ADDRESSES.values()):
                found.append(Probe(source, host, 20000 + number))
            own = [Probe(place, host, 20000 + number) for host in HOST_ADDRESSES.values()]
            found += [*own, Probe("host", LOOPBACK, 20000 + number)]
            away = [ip_address("192.0.2.9"), ip_address("2001:db8:1::9")]
            found += [Probe(place, address, OPEN) for address in away]
        return found

    def ask(self, probes: list[Probe]) -> dict[str, str]:
        """The answer to each: "refused", "silence", or the address that the other side saw."""
        answers = {str(probe): "silence" for probe in probes}
        asking: dict[int, tuple[Probe, socket.socket]] = {}
        for probe in probes:
            family = socket.AF_INET if probe.address.version == 4 else socket.AF_INET6
            with self.entered(probe.source):
                sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = sock.connect_ex((str(probe.address), probe.port))
            if code == errno.EINPROGRESS:
                asking[sock.fileno()] = (probe, sock)
            else:
                answers[str(probe)] = _word(code)
                sock.close()
        poll = select.epoll()
        servers = {server.fileno(): server for server in self._servers}
        for fd in servers:
            poll.register(fd, select.EPOLLIN)
        for fd in asking:
            poll.register(fd, select.EPOLLIN)
        quiet = time.monotonic() + PATIENCE_SECONDS
        while (left := quiet - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                quiet = time.monotonic() + PATIENCE_SECONDS
                if fd in servers:
                    _greet(servers[fd])
                    continue
                probe, sock = asking[fd]
                answers[str(probe)] = _heard(sock)
                poll.unregister(fd)
        for _, sock in asking.values():
            sock.close()
        poll.close()
        return answers


def _neighbour(places: Namespaces, name: str, link: str, four: str, six: str) -> None:
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}-far")
    _run("ip", "link", "set", link, "up")
    _run("ip", "addr", "add", f"{four}.1/24", "dev", link)
    _run("ip", "addr", "add", f"{six}::1/64", "dev", link, "nodad")
    fd = places.open(name)
    try:
        _run("ip", "link", "set", f"{link}-far", "netns", f"/proc/{os.getpid()}/fd/{fd}")
    finally:
        os.close(fd)
    with places.entered(name):
        Path(f"/proc/sys/net/ipv6/conf/{link}-far/disable_ipv6").write_text("0")
        _run("ip", "link", "set", f"{link}-far", "up")
        _run("ip", "addr", "add", f"{four}.9/24", "dev", f"{link}-far")
        _run("ip", "addr", "add", f"{six}::9/64", "dev", f"{link}-far", "nodad")


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def _server(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    server.listen(4096)
    return server


def _greet(server: socket.socket) -> None:
    """Tell everybody who called where the call came from."""
    while True:
        try:
            called, peer = server.accept()
        except BlockingIOError:
            return
        called.sendall(peer[0].removeprefix("::ffff:").encode())
        called.close()


def _heard(sock: socket.socket) -> str:
    try:
        return sock.recv(100).decode()
    except OSError as error:
        return _word(error.errno or 0)


def _word(code: int) -> str:
    """Whether a router says that there is no way or says nothing: nobody answered."""
    nothing = (errno.EAGAIN, errno.EHOSTUNREACH, errno.ENETUNREACH)
    return "silence" if code in nothing else errno.errorcode[code]
