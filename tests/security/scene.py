"""The scene of the attacks: a host with a daemon, a neighbour, a router, and someone far away.

::

    far 198.51.100.1 ── router ─┬─ host 192.0.2.1 ── containers
                    neighbour ──┘

The host forwards and lets everything pass that the daemon does not forbid: the worst case.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from tests.docker.images import make_tools
from tests.docker.stage import eventually
from tests.docker.tidy import tidy
from tests.lab import Daemon, Machine, Switch
from tests.security.answering import Servers
from tests.security.place import Place, of_container, of_machine

IP = IPv4Address | IPv6Address

OPEN_HOST = """
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.ipv6.conf.all.forwarding=1
"""


# What iptables makes as it goes along, and decides nothing: base chains without a rule.
EMPTY = (
    re.compile(r"\tchain \w+ \{\n\t\ttype [^\n]*policy accept;\n\t\}\n"),
    re.compile(r"(?m)^:\w+ ACCEPT \[0:0\]\n"),
    re.compile(r"(?m)^table ip6? \w+ \{\n\}\n"),
    re.compile(r"(?m)^\*\w+\nCOMMIT\n"),
    # Namespaces that other tests on this machine mount at the same time.
    re.compile(r"(?m)^/tmp/.*\n"),
)


# Rules for the sources of different networks: their order decides nothing either.
MASQUERADE = re.compile(r"^-A POSTROUTING|^\t\toifname != ")


# Elements of a set with intervals are listed in the order of their making.
ELEMENTS = re.compile(r"elements = \{([^}]*)\}")


def _sorted(found: re.Match[str]) -> str:
    return "\n".join(sorted(element.strip() for element in found[1].split(",\n")))


def state(machine: Machine) -> str:
    """A machine's network configuration without what decides nothing."""
    text = machine.snapshot()
    for pattern in EMPTY:
        text = pattern.sub("", text)
    text = ELEMENTS.sub(_sorted, text)
    return "\n".join(
        line
        for alike, lines in groupby(text.splitlines(), lambda line: bool(MASQUERADE.search(line)))
        for line in (sorted(lines) if alike else lines)
    )


def restored(machine: Machine, before: str) -> None:
    """Waits until a machine is configured as before, or shows what differs."""
    try:
        eventually(lambda: state(machine) == before)
    except AssertionError:
        lines = difflib.unified_diff(before.splitlines(), state(machine).splitlines(), lineterm="")
        raise AssertionError("\n".join(lines)) from None


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between IPv4 and IPv6 for a test."""

    version: int
    host: IP
    neighbour: IP
    far: IP
    all_hosts: str
    create: str = ""
    """Options with which a network of this family is made."""

    def of(self, endpoint: dict[str, Any]) -> IP:
        """The address of an endpoint."""
        return ip_address(endpoint["IPAddress" if self.version == 4 else "GlobalIPv6Address"])

    def shown(self, address: IP) -> str:
        """An address as it stands before a port."""
        return f"[{address}]" if self.version == 6 else str(address)

    def gateway(self, endpoint: dict[str, Any]) -> IP:
        """The gateway of an endpoint, which is the host on its network."""
        return ip_address(endpoint["Gateway" if self.version == 4 else "IPv6Gateway"])


V4 = Family(
    4, ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("198.51.100.1"), "0.0.0.0"
)
V6 = Family(
    6,
    ip_address("2001:db8:1::1"),
    ip_address("2001:db8:1::2"),
    ip_address("2001:db8:2::1"),
    "[::]",
    "--ipv6",
)
FAMILIES = (V4, V6)
"""What the daemon serves; every test of packets runs for each."""


@dataclass(slots=True)
class Scene:
    """Everybody on the stage."""

    daemon: Daemon
    host: Machine
    neighbour: Machine
    router: Machine
    far: Machine
    servers: Servers
    backend: str = "iptables"
    places: dict[str, Place] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        for machine in (self.host, self.neighbour, self.router, self.far):
            self.places[machine.name] = place = of_machine(machine)
            self._stack.callback(place.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def network(self, name: str, options: str = "") -> str:
        """Creates a network and returns the name of its bridge."""
        id_ = self.daemon.docker("network", "create", *options.split(), name).stdout.strip()
        return f"br-{id_[:12]}"

    def container(self, name: str, options: str = "", *ports: int, version: int = 4) -> Place:
        """Runs a container that serves on these ports, on all its addresses."""
        words = ("run", "-d", "--name", name, *options.split(), "busybox", "sleep", "1000000")
        self.daemon.docker(*words)
        return self.serve(name, *ports, version=version)

    def serve(self, name: str, *ports: int, version: int = 4) -> Place:
        """Serves in a container that runs."""
        place = of_container(self.daemon, name)
        self.places[name] = place
        self.servers.add(place, *ports, version=version)
        return place

    def gone(self, name: str) -> None:
        """Forgets a container that is removed or stopped."""
        self.servers.remove(name)
        self.places.pop(name).close()

    def endpoint(self, name: str, network: str = "bridge") -> dict[str, Any]:
        """A container's endpoint as inspect shows it."""
        shown = self.daemon.api("GET", f"/containers/{name}/json").json
        found: dict[str, Any] = shown["NetworkSettings"]["Networks"][network]
        return found

    @contextmanager
    def opened(self, family: Family, *doors: str) -> Iterator[None]:
        """Some of the firewall's doors, `raw` or `forward`, are open for a while.

        So a test shows that it is they that refuse the attack.
        """
        with ExitStack() as undo:
            for door in doors:
                undo.callback(self.host.shell, self._open(family, door))
            yield

    def _open(self, family: Family, door: str) -> str:
        """Opens a door and returns what closes it again."""
        if self.backend == "iptables":
            command = {4: "iptables", 6: "ip6tables"}[family.version]
            where = {"raw": "-t raw -{} PREROUTING", "forward": "-{} DOCKER-USER"}[door]
            rule = f"{command} {where} -j ACCEPT"
            self.host.shell(rule.format("I"))
            return rule.format("D")
        table = {4: "ip", 6: "ip6"}[family.version]
        chain = f"{table} fairlead c_{door}"
        said = self.host.shell(f"nft --echo --handle insert rule {chain} accept").stdout
        handle = re.findall(r"# handle (\d+)", said)[-1]
        return f"nft delete rule {chain} handle {handle}"

    def clear(self) -> None:
        """Removes every container and network, as after each test."""
        for name in [name for name in self.places if name not in self._machines()]:
            self.gone(name)
        for machine in self._machines():
            self.servers.remove(machine)
        if not self.daemon.running:
            self.daemon.start()
        tidy(self.daemon)

    def _machines(self) -> list[str]:
        return [self.host.name, self.neighbour.name, self.router.name, self.far.name]

    @contextmanager
    def routed(self, machine: Machine, subnet: object, via: object) -> Iterator[None]:
        """A machine has a route for a while, as an attacker adds one."""
        machine.run(["ip", "route", "add", str(subnet), "via", str(via)])
        try:
            yield
        finally:
            machine.run(["ip", "route", "del", str(subnet)])


@contextmanager
def scene(backend: str = "iptables") -> Iterator[Scene]:
    """Sets the scene, with a daemon that has the images `busybox` and `tools`."""
    with Switch() as near, Switch("198.51.100.0/24") as beyond, Servers() as servers:
        host, neighbour = near.machine("host"), near.machine("neighbour")
        far, router = beyond.machine("far"), near.machine("router")
        beyond.plug(router, interface="eth1", default_route=False)
        for machine, address in ((host, V6.host), (neighbour, V6.neighbour)):
            machine.shell(f"ip address add {address}/64 dev eth0 nodad")
        router.shell("ip address add 2001:db8:1::3/64 dev eth0 nodad")
        router.shell("ip address add 2001:db8:2::2/64 dev eth1 nodad")
        far.shell(f"ip address add {V6.far}/64 dev eth0 nodad")
        for machine in (host, router):
            machine.shell(OPEN_HOST)
        # An attacker insists on his way, though the host knows a shorter one.
        neighbour.shell("sysctl -qw net.ipv6.conf.eth0.accept_redirects=0")
        for interface in ("all", "eth0"):
            neighbour.shell(f"sysctl -qw net.ipv4.conf.{interface}.accept_redirects=0")
        far.shell("ip route replace default via 198.51.100.2")
        far.shell("ip -6 route add default via 2001:db8:2::2")
        host.shell("ip route add 198.51.100.0/24 via 192.0.2.3")
        host.shell("ip -6 route add 2001:db8:2::/64 via 2001:db8:1::3")
        host.path("/etc/resolv.conf").write_text(f"nameserver {neighbour.address}\n")
        with Daemon(host, f"--firewall-backend={backend}") as daemon:
            daemon.import_busybox()
            make_tools(daemon)
            with Scene(daemon, host, neighbour, router, far, servers, backend) as made:
                eventually(lambda: host.shell("ip -6 address show tentative").stdout == "")
                yield made
