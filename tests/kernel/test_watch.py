"""What the kernel tells of changes, in a namespace of the test's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from fairlead.kernel.generation import Generation
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket
from fairlead.kernel.watch import Watch
from fairlead.model.facts import Hint
from tests.contract.conftest import private_host  # noqa: F401

pytestmark = pytest.mark.root


def run(command: str) -> None:
    subprocess.run(["sh", "-euc", command], check=True)


@pytest.fixture
def watch(private_host: None) -> Iterator[Watch]:  # noqa: F811
    """Listening to an empty machine with a bridge and a cable on it."""
    run(
        "ip link set lo up; ip link add br0 type bridge; ip link set br0 up;"
        "ip addr add 10.9.0.1/24 dev br0;"
        "ip link add va type veth peer name vb; ip link set va master br0; ip link set va up"
    )
    made = Watch()
    yield made
    made.close()


def hears(watch: Watch, expected: Hint) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if expected in watch.read():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("ip link del br0", Hint("link", "br0", lost=True, loose=True)),
        ("ip link set br0 down", Hint("link", "br0", lost=True, loose=True)),
        ("ip link set va nomaster", Hint("link", "va", lost=False, loose=True)),
        ("ip link del vb", Hint("link", "va", lost=True, loose=True)),
        ("ip addr del 10.9.0.1/24 dev br0", Hint("address", "10.9.0.1")),
        ("ip route del 10.9.0.0/24", Hint("route", "10.9.0.0/24", lost=True, link="br0")),
        (
            "ip route add 10.8.0.0/16 via 10.9.0.2",
            Hint("route", "10.8.0.0/16", lost=False, link="br0"),
        ),
        ("ip -6 route add fd00:9::/64 dev br0", Hint("route", "fd00:9::/64", False, "br0")),
        ("sysctl -q -w net.ipv4.ip_forward=1", Hint("setting", "2")),
        ("sysctl -q -w net.ipv6.conf.all.forwarding=1", Hint("setting", "10")),
        ("nft add table ip x", Hint("rules", "nft")),
        ("iptables -A INPUT -j ACCEPT", Hint("rules", "iptables")),
        ("ip6tables -A INPUT -j ACCEPT", Hint("rules", "ip6tables")),
    ],
)
def test_what_is_told(watch: Watch, command: str, hint: Hint) -> None:
    run(command)
    assert hears(watch, hint)


def test_one_message_for_a_thousand_rules(watch: Watch) -> None:
    """However long a transaction is, what is said of it is short."""
    rules = "".join(f"-A INPUT -s 10.1.{n // 250}.{n % 250} -j ACCEPT\n" for n in range(1000))
    text = f"*filter\n{rules}COMMIT\n"
    subprocess.run(["iptables-restore", "-n"], input=text.encode(), check=True)
    assert hears(watch, Hint("rules", "iptables-restor"))
    assert watch.read() == []


def test_too_much_to_tell(watch: Watch) -> None:
    """What did not fit into the buffer is not passed over in silence."""
    run("for i in $(seq 2000); do echo link set br0 down; echo link set br0 up; done | ip -b -")
    assert hears(watch, Hint("all"))


def marks(generation: Generation) -> tuple[bool, bool]:
    """Touched and edited."""
    return generation.touched, generation.edited


def test_generations(private_host: None) -> None:  # noqa: F811
    """Others' changes are seen, our own and none are not."""
    with Socket(NETLINK_NETFILTER) as netlink:
        generation = Generation(netlink)
        assert marks(generation) == (True, True)
        generation.looking()
        generation.settle(intact=True)
        assert marks(generation) == (False, False)
        with generation.writing(1):
            run("nft add table ip x")
        assert marks(generation) == (False, False)
        with generation.writing(1):
            run("nft add table ip y; nft add table ip z")
        assert marks(generation) == (True, True)
        generation.looking()
        generation.settle(intact=False)
        assert marks(generation) == (False, True)
