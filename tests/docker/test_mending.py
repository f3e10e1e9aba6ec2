"""What others break: links deleted by hand, a daemon killed at work, a host that was rebooted."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.docker.images import PYTHON
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

# What a reboot leaves of the kernel's state and of /run: nothing.
REBOOT = r"""
umount /run/fairlead/netns/* 2>/dev/null
for table in filter nat raw; do iptables -t $table -F; iptables -t $table -X; done
iptables -P FORWARD ACCEPT
for link in $(ls /sys/class/net); do
    case $link in br-*|docker0|veth*) ip link del $link;; esac
done
echo 0 >/proc/sys/net/ipv4/ip_forward
rm -rf /run/fairlead /run/fairlead.pid
"""


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A clean start for each test, and no trace after it."""
    yield Lan(daemon, neighbour)
    traces.none()


def left_behind(lan: Lan) -> list[str]:
    """Returns the processes of containers and of fairlead, as the machine counts."""
    said = lan.host.run(["ps", "-e", "-o", "pid=,args="]).stdout.splitlines()
    kinds = ("conmon", "fairlead.dataplane.process", "sleep 1000000")
    return [line.split()[0] for line in said if any(kind in line for kind in kinds)]


def test_an_interface_deleted_inside(lan: Lan) -> None:
    """A container that deletes its own interface can be disconnected, connected and removed."""
    lan.create("red")
    lan.run("aa", "--network red --cap-add NET_ADMIN -p 8080:80")
    lan.inside("aa", "ip link del eth0")
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("network", "connect", "red", "aa")
    assert lan.reaches("aa", str(lan.neighbour.address))
    lan.inside("aa", "ip link del $(ls /sys/class/net | grep eth)")
    lan.docker("rm", "-f", "aa")


def test_a_bridge_deleted_by_hand(lan: Lan) -> None:
    """The next container that needs docker0 finds it, and no rule is there twice."""
    before = lan.host.snapshot()
    lan.host.shell("ip link del docker0")
    lan.run("aa")
    assert lan.reaches("aa", str(lan.neighbour.address))
    lan.docker("rm", "-f", "aa")
    eventually(lambda: lan.host.snapshot() == before)


def test_a_process_killed_from_outside(lan: Lan) -> None:
    """A container whose process somebody kills leaves its networks like any other."""
    before = lan.host.snapshot()
    lan.run("aa", "-p 8080:80")
    pid = lan.docker("inspect", "-f", "{{.State.Pid}}", "aa").strip()
    lan.host.run(["kill", "-9", pid])
    eventually(lambda: lan.docker("inspect", "-f", "{{.State.Status}}", "aa").strip() == "exited")
    eventually(lambda: lan.host.snapshot() == before)
    assert "8080" not in lan.host.run(["ss", "-ltn"]).stdout


@pytest.mark.parametrize(
    "command",
    [
        "run -d --name late --network red -p 8080:80 busybox sleep 1000000",
        "run -d --rm --name late -p 8080:80 busybox sleep 1000000",
        "network connect blue aa",
        "network disconnect red aa",
        "network create green",
        "network rm blue",
        "restart -t 0 aa",
        "rm -f aa",
    ],
)
def test_a_daemon_killed_at_work(lan: Lan, command: str) -> None:
    """Wherever it was: who runs is on its networks, and all can be removed without a trace."""
    before = lan.host.snapshot()
    for name in ("red", "blue"):
        lan.create(name)
    lan.run("aa", "--network red -p 9090:90")
    argv, env = lan.daemon.docker_command(*command.split())
    with lan.host.popen(argv, env=env):
        time.sleep(random.uniform(0.03, 0.15))
        lan.daemon.kill9()
    lan.daemon.start()
    for name in lan.docker("ps", "--format", "{{.Names}}").split():
        for endpoint in lan.endpoints(name).values():
            assert not endpoint["Gateway"] or lan.reaches(name, endpoint["Gateway"])
    tidy(lan.daemon)
    eventually(lambda: lan.host.snapshot() == before)
    assert [line for line in lan.host.processes() if "sleep 1000000" in line] == []


def test_a_reboot(lan: Lan) -> None:
    """After it networks are there again, and the containers that are always to run."""
    bridge = lan.host.run(["cat", "/sys/class/net/docker0/address"]).stdout
    lan.create("red", "--subnet 10.5.0.0/24")
    lan.run("aa", "--network red --ip 10.5.0.9 --restart always -p 8080:80")
    lan.run("bb")
    lan.daemon.kill9()
    for pid in left_behind(lan):
        lan.host.run(["kill", "-9", pid], check=False)  # some end with one killed before
    lan.host.shell(f"set +e\n{REBOOT}\ntrue")
    lan.daemon.start()
    eventually(lambda: lan.docker("ps", "--format", "{{.Names}}").split() == ["aa"])
    assert lan.address("aa", "red") == "10.5.0.9"
    assert lan.reaches("aa", str(lan.neighbour.address))
    assert lan.docker("inspect", "-f", "{{.State.Status}}", "bb").strip() == "exited"
    lan.docker("start", "bb")
    assert lan.reaches("bb", "172.17.0.1")
    assert lan.host.run(["cat", "/sys/class/net/docker0/address"]).stdout == bridge


def test_flows_of_udp(lan: Lan) -> None:
    """A client that never changes its port is led to who publishes the port now."""
    program = f"""
import socket, sys
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind(("", 5555))
for line in sys.stdin:
    answer = b"- - nobody"
    sock.setblocking(False)
    while True:  # what came too late is nobody's
        try:
            sock.recv(99)
        except BlockingIOError:
            break
        except OSError:
            continue
    sock.settimeout(0.2)
    for _ in range(int(line)):
        sock.sendto(b"?", ("{lan.host.address}", 8080))
        try:
            answer = sock.recv(99)
            break
        except OSError:
            pass
    print(answer.decode().split()[-1], flush=True)
"""
    client = lan.neighbour.popen([PYTHON, "-u", "-c", program], stdin=-1)

    def answerer(tries: int = 100) -> str:
        assert client.stdin is not None
        assert client.stdout is not None
        print(tries, file=client.stdin, flush=True)
        return client.stdout.readline().strip()

    with client:
        assert answerer(10) == "nobody"
        lan.serve("one", "udp:80", "-p 8080:80/udp")
        assert answerer() == "one"
        lan.docker("rm", "-f", "one")
        lan.run("filler")  # takes the address that was one's
        lan.serve("two", "udp:80", "-p 8080:80/udp")
        assert answerer() == "two"
        lan.create("red")
        lan.docker("network", "connect", "red", "two")
        lan.docker("network", "disconnect", "bridge", "two")
        assert answerer() == "two"
        client.kill()


def test_subnets_that_the_host_knows(lan: Lan) -> None:
    """A subnet chosen for a network is none that the host has a way to already."""
    gateway = lan.neighbour.address
    lan.host.shell(f"ip route add 172.18.0.0/15 via {gateway}")
    try:
        lan.create("red")
        assert lan.subnet("red") == "172.20.0.0/16"
        lan.docker("network", "rm", "red")
    finally:
        lan.host.shell("ip route del 172.18.0.0/15")


def test_many_at_once(lan: Lan) -> None:
    """Twenty containers started at the same time have an address each and know each other."""
    lan.create("red")
    argv, env = lan.daemon.docker_command(
        "run", "-d", "--network", "red", "busybox", "sleep", "1000000"
    )
    for process in [lan.host.popen(argv, env=env) for _ in range(20)]:
        with process:
            assert process.wait(60) == 0
    shown = lan.network("red")["Containers"].values()
    assert len({endpoint["IPv4Address"] for endpoint in shown}) == 20
    first, *others = [endpoint["Name"] for endpoint in shown]
    assert len(lan.answers(first, others)) == 19
