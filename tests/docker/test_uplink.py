"""The size of packets: that of the host's way out, and what connections are told of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.images import PYTHON, make_tools
from tests.docker.lan import Lan
from tests.lab import Daemon, Switch

pytestmark = pytest.mark.root

# Prints the segment size that the first SYN to port 9 announces.
SNIFF = """
import socket, struct
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind(("eth0", 0))
wire.settimeout(20)
print("ready", flush=True)
while True:
    frame = wire.recv(2048)
    ip = frame[14:]
    tcp = ip[(ip[0] & 15) * 4:]
    if ip[9] == 6 and tcp[2:4] == struct.pack("!H", 9) and tcp[13] & 2 and tcp[20:22] == b"\\2\\4":
        print(struct.unpack("!H", tcp[22:24])[0])
        break
"""


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A host whose way out takes 1400 bytes, as a tunnel's does."""
    with Switch() as switch:
        host, neighbour = switch.machine("host"), switch.machine("neighbour")
        host.shell("ip link set eth0 mtu 1400")
        with Daemon(host) as daemon:
            daemon.import_busybox()
            make_tools(daemon)
            yield Lan(daemon, neighbour)


def announced(lan: Lan, name: str) -> int:
    """The segment size that the neighbour is told when a container calls."""
    with lan.neighbour.popen([PYTHON, "-c", SNIFF]) as sniffer:
        assert sniffer.stdout is not None
        assert sniffer.stdout.readline() == "ready\n"
        assert lan.ask(name, "tcp", lan.neighbour.address, 9) == "refused"
        return int(sniffer.stdout.readline())


def test_networks_take_the_size_of_the_way_out(lan: Lan) -> None:
    """docker0 and new networks have it, inside and in inspect, unless another is given."""
    lan.create("red")
    lan.create("big", "-o com.docker.network.driver.mtu=1500")
    for network, mtu in (("bridge", 1400), ("red", 1400), ("big", 1500)):
        lan.run(f"on-{network}", f"--network {network}")
        assert f"mtu {mtu} " in lan.inside(f"on-{network}", "ip link show eth0")
        assert lan.network(network)["Options"]["com.docker.network.driver.mtu"] == str(mtu)


def test_connections_are_told_of_a_narrow_way(lan: Lan) -> None:
    """With fairlead.mss_clamp a SYN announces what fits through; without, what the network takes."""
    lan.create("big", "-o com.docker.network.driver.mtu=1500")
    lan.create("told", "-o com.docker.network.driver.mtu=1500 -o fairlead.mss_clamp=true")
    for network, segment in (("big", 1460), ("told", 1360)):
        lan.tools(f"on-{network}", f"--network {network}")
        assert announced(lan, f"on-{network}") == segment
