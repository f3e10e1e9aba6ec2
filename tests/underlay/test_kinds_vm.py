"""ipvlan, VLAN sub-interfaces and dummies, by packets, in the small VM."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.lab import Machine, Switch
from tests.lab.machine import CHECKOUT
from tests.lab.process import Process
from tests.underlay.leases import served

pytestmark = [pytest.mark.vm("uml"), pytest.mark.root]

FOLDER = "/run/netns"


class Laid:
    """A machine with networks on parents, made without a daemon."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        path = f"{CHECKOUT}/src:{CHECKOUT}"
        command = [sys.executable, "-m", "tests.underlay.lay", FOLDER]
        self._process: Process = machine.popen(
            command, stdin=subprocess.PIPE, env={"PYTHONPATH": path}
        )
        assert self._read() == "ready"

    def say(self, line: str) -> str:
        """One line, and what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def do(self, *lines: str) -> None:
        """Lines of which none is refused."""
        for line in lines:
            assert self.say(line) == "done", line

    def inside(self, box: str, script: str, *, check: bool = True) -> str:
        """What a script in a sandbox prints."""
        place = f"{FOLDER}/{f'{box}-'.ljust(12, '0')[:12]}"
        words = ["nsenter", f"--net={place}", "sh", "-euc", script]
        return self.machine.run(words, check=check).stdout

    def address(self, box: str) -> str:
        """The address of a sandbox's eth0."""
        words = self.inside(box, "ip -o addr show eth0 scope global").split()
        return words[3].partition("/")[0]

    def pings(self, box: str, target: str, seconds: int = 15) -> bool:
        """Whether a sandbox reaches an address: one answer is enough."""
        return "yes" in self.inside(box, _ping(target, seconds))

    def host_pings(self, target: str, seconds: int = 15) -> bool:
        """Whether the machine itself does."""
        return "yes" in self.machine.shell(_ping(target, seconds)).stdout

    def links(self) -> set[str]:
        """The interfaces of the machine."""
        lines = self.machine.run(["ip", "-o", "link"]).stdout.splitlines()
        return {line.split()[1].rstrip(":").split("@")[0] for line in lines}

    def close(self) -> None:
        """Ends it; what was made goes with the machine."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line not in ("ready", "done") and not line.startswith("refused"):
            raise AssertionError(line + self._process.stdout.read())
        return line


def _ping(target: str, seconds: int) -> str:
    once = f"busybox ping -c 1 -W 1 {target} >/dev/null 2>&1"
    return f"for _ in $(seq {seconds}); do if {once}; then echo yes; break; fi; done"


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """The segment."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def pair(switch: Switch) -> Iterator[tuple[Laid, Laid]]:
    """Two machines on it."""
    one, two = Laid(switch.machine("one")), Laid(switch.machine("two"))
    yield one, two
    one.close()
    two.close()


@pytest.fixture
def both(pair: tuple[Laid, Laid]) -> Iterator[tuple[Laid, Laid]]:
    """Both, and at the end nothing is left of what the test made."""
    before = [laid.links() for laid in pair]
    yield pair
    for laid in pair:
        laid.do("clear")
    assert [laid.links() for laid in pair] == before


def test_ipvlan_l2(both: tuple[Laid, Laid]) -> None:
    """Containers share the MAC of their parent, and the segment with everybody."""
    one, two = both
    pool = "192.0.2.0/24 parent=eth0 fairlead.host_access=true"
    one.do(f"net lan ipvlan {pool}", "box aa lan 192.0.2.101", "box ab lan 192.0.2.102")
    two.do("net lan ipvlan 192.0.2.0/24 parent=eth0", "box ba lan 192.0.2.103")
    assert one.pings("aa", "192.0.2.102")
    assert one.pings("aa", "192.0.2.103")
    assert two.host_pings("192.0.2.101")
    mac = one.machine.run(["cat", "/sys/class/net/eth0/address"]).stdout
    assert mac.strip() in one.inside("aa", "ip link show eth0")
    # The host has a link of its own there.
    assert one.host_pings("192.0.2.101")
    # That machine has none.
    assert not two.host_pings("192.0.2.103", 2)
    assert "default via" in one.inside("aa", "ip route")
    said = one.say("net more ipvlan 198.51.100.0/24 parent=eth0")
    assert "is already using parent interface eth0" in said
    said = one.say("net more macvlan 198.51.100.0/24 parent=eth0")
    assert "is already using parent interface eth0" in said
    # The address is free as soon as who had it is gone.
    one.do("gone aa", "box ac lan 192.0.2.101")


def test_a_flag_keeps_them_apart(both: tuple[Laid, Laid]) -> None:
    """ipvlan's private flag is macvlan's private mode."""
    one, two = both
    pool = "192.0.2.0/24 parent=eth0 ipvlan_flag=private"
    one.do(f"net lan ipvlan {pool}", "box aa lan 192.0.2.101", "box ab lan 192.0.2.102")
    assert not one.pings("aa", "192.0.2.102", 3)
    assert one.pings("aa", str(two.machine.address))


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_ipvlan_routes(both: tuple[Laid, Laid], mode: str) -> None:
    """A subnet behind the parent: no gateway, a way out by the interface; others need a route."""
    one, two = both
    one.do(
        f"net deep ipvlan 203.0.113.0/24 parent=eth0 ipvlan_mode={mode}",
        "box aa deep",
        "box ab deep",
    )
    way = one.inside("aa", "ip route show default")
    assert way.startswith("default dev eth0 ")
    assert "via" not in way
    assert one.pings("aa", one.address("ab"))
    two.machine.shell(f"ip route add 203.0.113.0/24 via {one.machine.address}")
    assert two.host_pings(one.address("aa"))
    assert one.pings("aa", str(two.machine.address))
    two.machine.shell("ip route del 203.0.113.0/24")


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_vlans(both: tuple[Laid, Laid], driver: str) -> None:
    """Two machines with eth0.10 talk, eth0.20 hears nothing of it; made and removed by us."""
    one, two = both
    before = one.links()
    lines = [
        f"net ten {driver} 198.51.100.0/24 parent=eth0.10",
        f"net twenty {driver} 203.0.113.0/24 parent=eth0.20",
    ]
    one.do(*lines, "box aa ten 198.51.100.11", "box ab twenty 203.0.113.11")
    two.do(*lines, "box ba ten 198.51.100.12", "box bb twenty 203.0.113.12")
    assert one.links() == before | {"eth0.10", "eth0.20"}
    assert one.pings("aa", "198.51.100.12")
    assert one.pings("ab", "203.0.113.12")
    # One subnet on both: the number alone keeps them apart.
    one.inside("ab", "ip addr add 198.51.100.99/24 dev eth0")
    assert not one.pings("aa", "198.51.100.99", 2)
    # The host hears nothing of what is said there.
    assert "inet6" not in one.machine.run(["ip", "addr", "show", "eth0.10"]).stdout


def test_a_vlan_that_stood_before_stays(both: tuple[Laid, Laid]) -> None:
    """And one of ours goes with the last of the networks that share it."""
    one, _ = both
    one.machine.shell("ip link add link eth0 name eth0.30 type vlan id 30; ip link set eth0.30 up")
    one.do("net theirs macvlan 198.51.100.0/24 parent=eth0.30", "gone theirs")
    assert "eth0.30" in one.links()
    one.machine.shell("ip link del eth0.30")
    one.do(
        "net first macvlan 198.51.100.0/24 parent=eth0.30",
        "net other macvlan 203.0.113.0/24 parent=eth0.30",
        "gone first",
    )
    assert "eth0.30" in one.links()
    one.do("gone other")
    assert "eth0.30" not in one.links()


@pytest.mark.parametrize(("driver", "prefix"), [("macvlan", "dm-"), ("ipvlan", "di-")])
def test_without_a_parent(both: tuple[Laid, Laid], driver: str, prefix: str) -> None:
    """A dummy: containers reach each other and nobody else."""
    one, _ = both
    before = one.links()
    one.do(f"net alone {driver} 198.51.100.0/24", "box aa alone", "box ab alone")
    (made,) = one.links() - before
    assert made.startswith(prefix)
    assert len(made) == 15
    assert one.pings("aa", one.address("ab"))
    assert one.inside("aa", "ip route show default") == ""


def test_ipv6(both: tuple[Laid, Laid]) -> None:
    """Neighbours by IPv6, without listening to advertisements."""
    one, two = both
    line = "net six ipvlan 2001:db8:5::/64 parent=eth0"
    one.do(line, "box aa six")
    two.do(line, "box bx six", "box ba six", "gone bx")
    assert one.pings("aa", f"-6 {two.address('ba')}")
    assert one.inside("aa", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n"


def test_addresses_by_dhcp(both: tuple[Laid, Laid]) -> None:
    """On a VLAN from who is there; each its own, though an ipvlan's MAC is its parent's."""
    one, two = both
    two.machine.shell(
        "ip link add link eth0 name eth0.40 type vlan id 40; "
        "ip addr add 198.51.100.2/24 dev eth0.40; ip link set eth0.40 up"
    )
    with served(two.machine, "eth0.40", "198.51.100") as server:
        one.do("net forty ipvlan dhcp parent=eth0.40", "box aa forty", "box ab forty")
        first, second = one.address("aa"), one.address("ab")
        lets = server.of(first), server.of(second)
        assert [let.name for let in lets if let is not None] == ["aa", "ab"]
        assert one.pings("aa", second)
        assert "default via 198.51.100.254" in one.inside("aa", "ip route")
        assert two.host_pings(first)
        one.do("gone aa")
        eventually(lambda: server.of(first) is None)
        assert server.of(second)
        # What is said in the VLAN is not heard on the link below it.
        one.do("gone ab", "gone forty", "net plain macvlan dhcp parent=eth0")
        assert "no DHCP server answered on eth0" in one.say("box ac plain")
    two.machine.shell("ip link del eth0.40")
