"""Whatever is done, in whatever order: who reaches whom is what the policy says, and no more.

A seed and a number of operations make a history. FAIRLEAD_OPERATIONS and FAIRLEAD_SEED make it
longer, or another.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import pytest

from tests.security import probe
from tests.security.model import HOST_PORT, SERVED, Box, Model, Net, Port
from tests.security.scene import V4, V6, Scene
from tests.security.wire import Wire

pytestmark = pytest.mark.root

OPERATIONS = int(os.environ.get("FAIRLEAD_OPERATIONS", "12"))
SEED = int(os.environ.get("FAIRLEAD_SEED", "1"))
MOST_NETWORKS = 4
MOST_CONTAINERS = 4

# What belongs to the user and is nobody else's business.
FOREIGN = """
iptables -N MINE
iptables -A MINE -d 203.0.113.1 -j ACCEPT
iptables -A INPUT -s 203.0.113.0/24 -j MINE
iptables -A FORWARD -s 203.0.113.0/24 -j MINE
iptables -t nat -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE
ip6tables -A INPUT -s 2001:db8:113::/48 -j ACCEPT
nft 'add table inet mine { set s { type ipv4_addr; elements = { 203.0.113.5 } }
  chain c { type filter hook forward priority 10; ip saddr @s drop; }; }'
ip link add br-mine type bridge
ip address add 203.0.113.1/24 dev br-mine
ip link set br-mine up
ip route add 198.18.0.0/24 dev br-mine table 77
ip rule add from 203.0.113.9 table 77
"""
NOT_FOREIGN = """
iptables -D INPUT -s 203.0.113.0/24 -j MINE
iptables -D FORWARD -s 203.0.113.0/24 -j MINE
iptables -t nat -D POSTROUTING -s 203.0.113.0/24 -j MASQUERADE
ip6tables -D INPUT -s 2001:db8:113::/48 -j ACCEPT
iptables -F MINE
iptables -X MINE
nft delete table inet mine
ip rule del from 203.0.113.9 table 77
ip link del br-mine
"""
SHOW_FOREIGN = """
iptables-save | grep -e MINE -e 203.0.113
ip6tables-save | grep 2001:db8:113
nft list table inet mine
ip -o link show br-mine
ip address show br-mine scope global
ip route show table 77
ip rule
sysctl net.ipv4.conf.eth0 net.ipv6.conf.eth0 net.ipv4.conf.br-mine net.ipv4.conf.default \
    | grep -v -e stable_secret -e addr_gen
"""
SETTINGS = {
    "ipv6/conf/{}/accept_ra": "0",
    "ipv4/conf/{}/route_localnet": "0",
    "ipv4/conf/{}/proxy_arp": "0",
    "ipv4/conf/{}/forwarding": "1",
}


class History:
    """A world that things are done to, and what the model expects of it."""

    def __init__(self, on: Scene, seed: int) -> None:
        self.on = on
        self.draw = random.Random(seed)
        self.model = Model(
            {4: ip_address(str(on.host.address)), 6: V6.host}, {4: V4.neighbour, 6: V6.neighbour}
        )
        self.log: list[str] = []
        self._numbers = iter(range(1, 10**6))

    def step(self) -> None:
        """Does something that can be done."""
        verbs: list[Callable[[], bool]] = [
            self.create, self.create, self.run, self.run, self.run, self.connect, self.connect,
            self.disconnect, self.remove, self.remove_network, self.restart, self.kill,
        ]  # fmt: skip
        while not self.draw.choice(verbs)():
            continue

    def _docker(self, *words: str) -> None:
        self.log.append(" ".join(words))
        self.on.daemon.docker(*words)

    def create(self) -> bool:
        """A network of any kind."""
        if len(self.model.nets) >= MOST_NETWORKS:
            return False
        draw = self.draw
        mode = draw.choice(["nat", "nat", "nat", "routed", "nat-unprotected"])
        net = Net(f"net{next(self._numbers)}", draw.random() < 0.2, draw.random() < 0.8, mode)
        words = ["--internal"] * net.internal
        if net.internal:
            net.mode = "nat"
        if draw.random() < 0.6:
            words.append("--ipv6")
        if not net.icc:
            words += ["-o", "com.docker.network.bridge.enable_icc=false"]
        if net.mode != "nat":
            for version in (4, 6):
                words += ["-o", f"com.docker.network.bridge.gateway_mode_ipv{version}={net.mode}"]
        self._docker("network", "create", *words, net.name)
        shown = self.on.daemon.api("GET", f"/networks/{net.name}").json["IPAM"]["Config"]
        for pool in shown:
            gateway = ip_address(pool["Gateway"])
            net.gateways[gateway.version] = gateway
            self.on.neighbour.run(
                ["ip", "route", "add", pool["Subnet"], "via",
                 str(self.model.hosts[gateway.version])]
            )  # fmt: skip
        self.model.nets[net.name] = net
        return True

    def _forget_network(self, net: Net) -> None:
        shown = self.on.daemon.api("GET", f"/networks/{net.name}").json["IPAM"]["Config"]
        for pool in shown:
            self.on.neighbour.run(["ip", "route", "del", pool["Subnet"]])

    def remove_network(self) -> bool:
        """One that nobody is on."""
        used = {name for box in self.model.boxes.values() for name in box.addresses}
        free = sorted(self.model.nets.keys() - used)
        if not free:
            return False
        net = self.model.nets.pop(self.draw.choice(free))
        self._forget_network(net)
        self._docker("network", "rm", net.name)
        return True

    def run(self) -> bool:
        """A container with some ports."""
        if len(self.model.boxes) >= MOST_CONTAINERS or not self.model.nets:
            return False
        draw = self.draw
        number = next(self._numbers)
        kinds = ["", "", "", "127.0.0.1", str(self.model.hosts[4])]
        ports = tuple(
            Port(draw.choice(kinds), 8000 + number * 3 + i, draw.choice(["tcp", "udp"]), 80)
            for i in range(draw.choice([0, 1, 2]))
        )
        box = Box(f"box{number}", ports)
        words = [
            f"-p={port.host_ip}{':' * bool(port.host_ip)}{port.host_port}:{port.port}/{port.protocol}"
            for port in ports
        ]
        network = draw.choice(sorted(self.model.nets))
        words += ["--network", network, "--name", box.name]
        self._docker("run", "-d", *words, "busybox", "sleep", "1000000")
        self.model.boxes[box.name] = box
        self._look(box)
        self.on.serve(box.name, *SERVED)
        self.on.servers.add(self.on.places[box.name], *SERVED, version=6)
        return True

    def _look(self, box: Box) -> None:
        """Takes the addresses over, which are the daemon's to choose."""
        shown = self.on.daemon.api("GET", f"/containers/{box.name}/json").json
        box.addresses = {
            name: {
                address.version: address
                for key in ("IPAddress", "GlobalIPv6Address")
                if endpoint[key]
                for address in [ip_address(endpoint[key])]
            }
            for name, endpoint in shown["NetworkSettings"]["Networks"].items()
        }

    def _box(self) -> Box | None:
        names = sorted(self.model.boxes)
        return self.model.boxes[self.draw.choice(names)] if names else None

    def connect(self) -> bool:
        """A container to one more network."""
        box = self._box()
        others = sorted(self.model.nets.keys() - box.addresses.keys()) if box else []
        if box is None or not others:
            return False
        self._docker("network", "connect", self.draw.choice(others), box.name)
        self._look(box)
        return True

    def disconnect(self) -> bool:
        """A container from one of several networks."""
        box = self._box()
        if box is None or len(box.addresses) < 2:
            return False
        self._docker("network", "disconnect", self.draw.choice(sorted(box.addresses)), box.name)
        self._look(box)
        return True

    def remove(self) -> bool:
        """A container."""
        box = self._box()
        if box is None:
            return False
        self.on.gone(box.name)
        self._docker("rm", "-f", "-v", box.name)
        del self.model.boxes[box.name]
        return True

    def restart(self) -> bool:
        """The daemon."""
        self.log.append("restart")
        self.on.daemon.restart()
        return True

    def kill(self) -> bool:
        """The daemon, without a warning."""
        self.log.append("kill")
        self.on.daemon.kill9()
        self.on.daemon.start()
        return True

    def check_packets(self) -> None:
        """Asks every question and compares."""
        expected = {q: self.model.answer(q) for q in self.model.questions()}
        with Wire(self.on.places["neighbour"]) as uplink:
            said = probe.ask(self.on.places, expected, lambda q: bool(expected[q]))
            uplink.listen()
        wrong = [
            f"{q}: {said[q] or 'nobody'} instead of {want or 'nobody'}"
            for q, want in expected.items()
            if said[q].partition(" ")[0] != want
        ]
        assert not wrong, self._story(wrong)
        hidden = {
            address
            for box in self.model.boxes.values()
            for name, found in box.addresses.items()
            for address in found.values()
            if self.model.nets[name].internal or self.model.nets[name].mode == "nat"
        }
        shown = {seen.source for seen in uplink.heard} & hidden
        assert not shown, self._story([f"{address} leaves the uplink" for address in shown])

    def check_host(self, foreign: str) -> None:
        """Listening sockets, settings, and what is the user's."""
        rows = [line.split() for line in self.on.host.run(["ss", "-Hlntu"]).stdout.splitlines()]
        listening = {(row[0], int(row[4].rpartition(":")[2])) for row in rows}
        published = {
            (port.protocol, port.host_port)
            for box in self.model.boxes.values()
            for port in box.ports
            if any(self.model.bound(box, port, version) for version in (4, 6))
        }
        own = {("tcp", HOST_PORT), ("udp", HOST_PORT)}
        assert listening - own == published, self._story([f"{listening}", f"{published}"])
        links = self.on.host.run(["ls", "/sys/class/net"]).stdout.split()
        for bridge in (link for link in links if re.fullmatch("br-[0-9a-f]{12}|docker0", link)):
            for path, value in SETTINGS.items():
                found = self.on.places["host"].sysctl("net/" + path.format(bridge))
                assert found == value, self._story([path.format(bridge)])
        assert self.on.host.shell(SHOW_FOREIGN).stdout == foreign, self._story(["not ours"])

    def _story(self, wrong: list[str]) -> str:
        return "\n".join([*wrong[:20], "after:", *self.log])


def test_any_history(on: Scene) -> None:
    """After each operation the world is as the model says, by packets."""
    history = History(on, SEED)
    on.host.shell(FOREIGN)
    try:
        for version in (4, 6):
            on.servers.add(on.places["neighbour"], SERVED[0], version=version)
            on.servers.add(on.places["host"], HOST_PORT, version=version)
        foreign = on.host.shell(SHOW_FOREIGN).stdout
        for _ in range(OPERATIONS):
            history.step()
            history.check_packets()
            history.check_host(foreign)
    finally:
        for net in history.model.nets.values():
            history._forget_network(net)
        on.host.shell(NOT_FOREIGN)


def test_the_model_is_not_always_content(on: Scene) -> None:
    """A door that somebody opened is found."""
    history = History(on, 0)
    for name in ("net1", "net2"):
        on.network(name)
        pool = on.daemon.api("GET", f"/networks/{name}").json["IPAM"]["Config"][0]
        history.model.nets[name] = Net(name, gateways={4: ip_address(pool["Gateway"])})
        box = Box(f"box-{name}")
        on.container(box.name, f"--network {name}", *SERVED)
        history.model.boxes[box.name] = box
        history._look(box)
    on.servers.add(on.places["neighbour"], SERVED[0])
    for version in (4, 6):
        on.servers.add(on.places["host"], HOST_PORT, version=version)
    history.model.hosts = {4: IPv4Address(str(on.host.address))}
    history.model.neighbours = {4: V4.neighbour}
    history.check_packets()
    with on.opened(V4, "forward"), pytest.raises(AssertionError, match="instead of nobody"):
        history.check_packets()
