"""What the host routes is always as it is now, though it is not read each time."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from fairlead.kernel.netlink import Socket
from fairlead.kernel.surroundings import Outside
from fairlead.model.marks import Marks
from tests.contract.conftest import private_host  # noqa: F401

pytestmark = pytest.mark.root

MARKS = Marks("c0ffee00")
LAN = ip_network("10.9.0.0/24")
FAR = ip_network("10.8.0.0/16")
OURS = "ip link add br-ours type bridge; ip link set br-ours alias {alias} up;"


def run(command: str) -> None:
    subprocess.run(["sh", "-euc", command.format(alias=MARKS.alias)], check=True)


@pytest.fixture
def outside(private_host: None) -> Iterator[Outside]:  # noqa: F811
    """A machine with one interface, looked at once."""
    run(
        "ip link add lan type veth peer name far; ip link set far up; ip link set lan mtu 1400 up; ip addr add 10.9.0.1/24 dev lan"
    )
    run("ip route add default via 10.9.0.254")
    with Socket() as netlink:
        made = Outside(netlink, MARKS)
        assert LAN in made.now().routes
        assert made.now().mtu == 1400
        yield made
        made.close()


@pytest.mark.parametrize(
    "command",
    [
        "ip route add {far} via 10.9.0.2",
        "ip route add {far} via 10.9.0.2 table 77",
        "ip route add blackhole {far}",
        "ip link add more type bridge; ip link set more up; ip addr add 10.8.0.1/16 dev more",
    ],
)
def test_a_route_that_somebody_adds_is_known_at_once(outside: Outside, command: str) -> None:
    run(command.replace("{far}", str(FAR)))

    assert FAR in outside.now().routes


@pytest.mark.parametrize(
    "command",
    ["ip link set lan down", "ip link del lan", "ip addr del 10.9.0.1/24 dev lan"],
)
def test_a_route_that_goes_is_forgotten_at_once(outside: Outside, command: str) -> None:
    run(command)

    assert LAN not in outside.now().routes


def test_the_size_of_packets_on_the_way_out_is_followed(outside: Outside) -> None:
    run("ip link set lan mtu 1300")

    assert outside.now().mtu == 1300


def test_our_own_bridges_are_no_surroundings(outside: Outside) -> None:
    run(OURS + "ip addr add 10.8.0.1/16 dev br-ours")

    assert FAR not in outside.now().routes


def test_a_bridge_that_is_no_longer_ours_is(outside: Outside) -> None:
    run(OURS + "ip addr add 10.8.0.1/16 dev br-ours")
    assert FAR not in outside.now().routes

    run("ip link set br-ours alias theirs")

    assert FAR in outside.now().routes


def test_nothing_is_missed_when_very_much_happens(outside: Outside) -> None:
    run("for i in $(seq 1 3000); do echo route add 10.7.$((i/250)).$((i%250))/32 via 10.9.0.2; "
        "done | ip -batch -; ip route add 10.8.0.0/16 via 10.9.0.2")  # fmt: skip

    assert FAR in outside.now().routes
