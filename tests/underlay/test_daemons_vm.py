"""ipvlan, VLANs and dummies by whole daemons and the docker command line, in the small VM.

Each kind by itself, and all that may go wrong with it, is in `test_kinds_vm.py`, without a
daemon. The kernel there has no nf_tables: the rules of the first host are the older iptables',
and the second daemon writes none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.stage import eventually
from tests.docker.tidy import tidy
from tests.lab import Daemon, Machine, Switch
from tests.lab.daemon import DaemonFailed
from tests.underlay.words import (
    ROUTER,
    SECOND,
    address,
    create,
    host_pings,
    inside,
    refused,
    run,
)

pytestmark = [pytest.mark.vm("uml"), pytest.mark.root]

OLDER = """
for program in iptables ip6tables; do
    for what in '' -save -restore; do
        ln -sf /usr/sbin/$program-legacy$what /etc/alternatives/$program$what
    done
done
"""
NO_RULES = ("--iptables=false", "--ip6tables=false", "--bridge=none")
STANDING = "ip -br link; ip -4 route; ip rule; ls /run/netns 2>/dev/null || true"

Pair = tuple[Daemon, Daemon]


@pytest.fixture(scope="module")
def machine(switch: Switch) -> Machine:
    """The first machine, with the iptables that goes with its kernel."""
    made = switch.machine("one")
    made.shell(OLDER)
    return made


@pytest.fixture(scope="module")
def second(other: Machine) -> Iterator[Daemon]:
    """The daemon of the second, which writes no rules."""
    with Daemon(other, *NO_RULES) as running:
        running.import_busybox()
        yield running


@pytest.fixture
def both(daemon: Daemon, second: Daemon) -> Iterator[Pair]:
    """Both daemons; nothing of what the test made is left on their hosts, nor what came with it."""
    pair = (daemon, second)
    before = [standing(each.machine) for each in pair]
    yield pair
    for each, then in zip(pair, before, strict=True):
        tidy(each)
        eventually(lambda each=each, then=then: standing(each.machine) == then)  # type: ignore[misc]


def standing(machine: Machine) -> str:
    """The links, routes and namespaces of a host."""
    return machine.shell(STANDING).stdout


def links(machine: Machine) -> set[str]:
    """The names of its links."""
    lines = machine.run(["ip", "-br", "link"]).stdout.splitlines()
    return {line.split()[0].partition("@")[0] for line in lines}


def reaches(daemon: Daemon, name: str, *targets: str, seconds: int = 20) -> bool:
    """Whether a container gets an answer from each of them, by one command."""
    once = "ping $v -c 1 -W 1 $t >/dev/null 2>&1"
    script = (
        f"for t; do case $t in *:*) v=-6;; *) v=;; esac; n=0; until {once}; do "
        f"n=$((n + 1)); [ $n -lt {seconds} ] || exit 1; done; done"
    )
    words = ("exec", name, "sh", "-c", script, "sh", *targets)
    return daemon.docker(*words, check=False).returncode == 0


def beside(daemon: Daemon, name: str, script: str) -> str:
    """What a script of the host's prints in a container's network."""
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    words = ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-euc", script]
    return daemon.machine.run(words).stdout


@contextmanager
def routed(machine: Machine, *routes: str) -> Iterator[None]:
    """A machine with routes, until the end of the block."""
    machine.shell("; ".join(f"ip route add {route}" for route in routes))
    try:
        yield
    finally:
        machine.shell("; ".join(f"ip route del {route}" for route in routes))


def test_a_kernel_without_nf_tables(other: Machine) -> None:
    """Is told of in one line, with what to do; and nothing of the start is left."""
    before = standing(other)
    daemon = Daemon(other)
    with pytest.raises(DaemonFailed) as caught:
        daemon.start()
    said = str(caught.value).strip().splitlines()[-1]
    assert "this kernel has no nf_tables" in said
    assert "iptables-legacy" in said
    assert "--iptables=false --ip6tables=false" in said
    assert standing(other) == before


def test_ipvlan_l2(both: Pair) -> None:
    """Containers of two hosts, the hosts and their segment; names; both families; one MAC."""
    one, two = both
    six = ("--ipv6", "--subnet", "2001:db8:5::/64")
    create(one, "lan", *six, "--ip-range", "2001:db8:5::1:0/112",
           "-o", "fairlead.host_access=true", driver="ipvlan")  # fmt: skip
    create(two, "lan", *six, "--ip-range", "2001:db8:5::2:0/112", part=SECOND, driver="ipvlan")
    here, near = run(one, "ann", "lan"), run(one, "bob", "lan")
    there = run(two, "cid", "lan")
    shown = json.loads(one.docker("network", "inspect", "lan").stdout)[0]
    mine = shown["IPAM"]["Config"][0]["AuxiliaryAddresses"]["fairlead.host"]
    assert (mine, here, near, there) == ("192.0.2.128", "192.0.2.129", "192.0.2.130", "192.0.2.192")
    assert shown["Driver"] == "ipvlan"
    assert sorted(ep["Name"] for ep in shown["Containers"].values()) == ["ann", "bob"]
    far = address(two, "cid", "lan", "GlobalIPv6Address")
    assert reaches(one, "ann", "bob", there, far, ROUTER, mine, str(one.machine.address))
    # The host that has a link of its own there, the other host, and the one that has none.
    assert host_pings(one.machine, here)
    assert host_pings(two.machine, here)
    assert not host_pings(two.machine, there, 2)
    mac = one.machine.run(["cat", "/sys/class/net/eth0/address"]).stdout
    assert inside(one, "ann", "cat /sys/class/net/eth0/address") == mac

    words = ("network", "create", "-d", "ipvlan", "-o")
    said = refused(one, *words, "parent=eth0", "--subnet", "198.51.100.0/24", "more")
    assert "is already using parent interface eth0" in said
    said = refused(one, "network", "create", "-d", "macvlan", *words[4:], "parent=eth0", "more")
    assert "is already using parent interface eth0" in said
    said = refused(one, *words, "parent=eth0.7", "-o", "ipvlan_mode=zz", "more")
    assert "requested ipvlan mode 'zz' is not valid" in said
    one.docker("rm", "-f", "ann", "bob")
    one.docker("network", "rm", "lan")
    assert links(one.machine) == {"lo", "eth0", "docker0"}


def test_ipvlan_routes(both: Pair) -> None:
    """l3 and l3s: several subnets reach each other, and who has a route to them; no gateway."""
    one, two = both
    near, far, deep = "203.0.113.77", "198.51.100.77", "198.51.200.77"
    words = ("network", "create", "-d", "ipvlan", "-o")
    subnets = ("--subnet", "203.0.113.0/24", "--subnet", "198.51.100.0/24")
    one.docker(*words, "parent=eth0", "-o", "ipvlan_mode=l3", *subnets, "broad")
    subnet = ("--subnet", "198.51.200.0/24")
    one.docker(*words, "parent=eth0.40", "-o", "ipvlan_mode=l3s", *subnet, "deep")
    run(one, "ann", "broad", "--ip", near)
    run(one, "bob", "broad", "--ip", far)
    # The way out stays that of the network whose name comes first.
    one.docker("network", "connect", "deep", "ann")
    one.docker("network", "connect", "--ip", deep, "deep", "bob")
    here = one.machine.address
    with routed(two.machine, f"{near} via {here}", f"{far} via {here}"):
        assert reaches(one, "ann", "bob", far, deep, str(two.machine.address))
        assert host_pings(two.machine, far)
    said = beside(one, "ann", "ip route show default; ip -d link show eth0; ip -d link show eth1")
    assert said.startswith("default dev eth0 ")
    assert " mode l3 " in said
    assert " mode l3s " in said


def test_vlans(both: Pair) -> None:
    """Of either driver, made with the network and gone with it: packets cross by their number."""
    one, two = both
    before = links(one.machine)
    nets = {"ten": ("ipvlan", 10), "twenty": ("macvlan", 20)}
    for each, container in ((one, "ann"), (two, "bob")):
        for name, (driver, number) in nets.items():
            each.docker("network", "create", "-d", driver, "-o", f"parent=eth0.{number}",
                        "--subnet", f"198.51.{number}.0/24", name)  # fmt: skip
        own = "11" if each is one else "12"
        run(each, container, "ten", "--ip", f"198.51.10.{own}")
        each.docker("network", "connect", "--ip", f"198.51.20.{own}", "twenty", container)
    assert links(one.machine) == before | {"eth0.10", "eth0.20"}
    assert reaches(one, "ann", "198.51.10.12", "198.51.20.12")
    one.docker("rm", "-f", "ann")
    one.docker("network", "rm", "ten", "twenty")
    assert links(one.machine) == before


def test_without_a_parent(both: Pair) -> None:
    """A dummy of its own: containers of the network reach each other, and nobody else."""
    one, _ = both
    before = links(one.machine)
    for driver, subnet in (("ipvlan", "198.51.100.0/24"), ("macvlan", "203.0.113.0/24")):
        one.docker("network", "create", "-d", driver, "--subnet", subnet, driver)
    form = "{{.Internal}}"
    shown = one.docker("network", "inspect", "-f", form, "ipvlan", "macvlan").stdout
    assert shown.split() == ["true", "true"]
    assert {name[:3] for name in links(one.machine) - before} == {"di-", "dm-"}
    run(one, "ann", "ipvlan")
    run(one, "bob", "ipvlan")
    for name in ("ann", "bob"):
        one.docker("network", "connect", "macvlan", name)
    far = address(one, "bob", "macvlan")
    assert reaches(one, "ann", "bob", address(one, "bob", "ipvlan"), far)
    assert beside(one, "ann", "ip route show default") == ""
    assert not reaches(one, "ann", ROUTER, seconds=2)
    one.docker("rm", "-f", "ann", "bob")
    one.docker("network", "rm", "ipvlan", "macvlan")
    assert links(one.machine) == before


def test_published_ports_by_the_older_iptables(both: Pair) -> None:
    """Of TCP and of SCTP, which this kernel has: from outside, with who asks as he is."""
    one, two = both
    ports = ("-p", "8080:80", "-p", "8080:80/sctp")
    one.docker("run", "-d", "--name", "web", *ports, "busybox", "sleep", "1000000")
    pid = one.docker("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
    serve = [
        "nsenter",
        f"--net=/proc/{pid}/ns/net",
        PYTHON,
        str(TALK),
        "serve",
        "tcp:80",
        "sctp:80",
    ]
    with one.machine.popen(serve) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        for protocol in ("tcp", "sctp"):
            ask = [PYTHON, str(TALK), "ask", protocol, str(one.machine.address), "8080", "60"]
            heard = two.machine.run(ask, timeout=120).stdout
            assert heard.split()[0] == str(two.machine.address), f"{protocol}: {heard}"
        server.kill()
    assert "8080->80/sctp" in one.docker("ps").stdout
    # They are its own rules, not somebody else's.
    assert "legacy" not in one.fairlead("doctor", check=False).stdout
    one.docker("rm", "-f", "web")
    assert "8080" not in one.machine.shell("iptables-save").stdout
