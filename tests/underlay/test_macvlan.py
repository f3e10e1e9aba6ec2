"""macvlan: containers are neighbours of the machines on the segment."""

from __future__ import annotations

import json

import pytest

from tests.docker.memory import remember, running
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine, Switch
from tests.underlay.words import (
    FIRST,
    LAN,
    ROUTER,
    SECOND,
    address,
    create,
    cut,
    host_pings,
    inside,
    pings,
    refused,
    run,
)

pytestmark = pytest.mark.root

PACE = "com.docker.network.advertise_addr_ms"


def links(machine: Machine) -> set[str]:
    """The interfaces of a machine."""
    lines = machine.run(["ip", "-o", "link"]).stdout.splitlines()
    return {line.split()[1].rstrip(":").split("@")[0] for line in lines}


def test_containers_are_on_the_segment(
    one: Daemon, second: Daemon, machine: Machine, other: Machine
) -> None:
    """Those of two machines talk, other machines reach them, their router is the segment's."""
    before = links(machine)
    create(one, "lan")
    create(second, "lan", part=SECOND)
    here, there = run(one, "here", "lan"), run(second, "there", "lan")
    try:
        near = run(one, "near", "lan")
        assert (here, near, there) == ("192.0.2.128", "192.0.2.129", "192.0.2.192")
        assert pings(one, "here", there)
        assert pings(one, "here", near)
        assert pings(one, "here", ROUTER)
        assert host_pings(other, here)
        assert f"default via {ROUTER} dev eth0" in inside(one, "here", "ip route")
        # The kernel keeps a parent and what stands on it apart.
        assert not host_pings(machine, here, 2)
        assert cut(one, "here", str(machine.address))
        assert links(machine) == before
    finally:
        second.docker("rm", "-f", "there")
        second.docker("network", "rm", "lan")


def test_names_are_found(one: Daemon) -> None:
    """As on any network of the user's, and under aliases."""
    create(one, "lan")
    run(one, "ann", "lan")
    run(one, "bob", "lan", "--network-alias", "bee")
    assert pings(one, "ann", "bob")
    assert pings(one, "ann", "bee")
    assert "127.0.0.11" in inside(one, "ann", "cat /etc/resolv.conf")


def test_without_ipv6_there_is_none(one: Daemon, other: Machine) -> None:
    """No link-local address, and advertisements of neighbours are not heard."""
    create(one, "lan")
    run(one, "ann", "lan")
    assert inside(one, "ann", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1\n"
    assert "inet6" not in inside(one, "ann", "ip addr show eth0")


def test_ipv6_and_several_subnets(one: Daemon) -> None:
    """One address of each family, from the first subnet with room or the one of --ip."""
    subnets = ("--subnet", "198.51.100.0/30", "--gateway", "198.51.100.1",
               "--subnet", "203.0.113.0/24", "--gateway", "203.0.113.1",
               "--ipv6", "--subnet", "2001:db8:5::/64")  # fmt: skip
    one.docker("network", "create", "-d", "macvlan", "-o", "parent=eth0", *subnets, "many")
    assert run(one, "ann", "many") == "198.51.100.2"
    assert run(one, "bob", "many") == "203.0.113.2"
    assert run(one, "cid", "many", "--ip", "203.0.113.77") == "203.0.113.77"
    assert "default via 198.51.100.1" in inside(one, "ann", "ip route")
    assert "default via 203.0.113.1" in inside(one, "bob", "ip route")
    six = address(one, "bob", "many", "GlobalIPv6Address")
    assert pings(one, "ann", f"-6 {six}")
    assert pings(one, "bob", "203.0.113.77")
    assert inside(one, "ann", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n"


def test_a_new_owner_of_an_address(one: Daemon, other: Machine) -> None:
    """Machines of the segment, and containers on the same parent, are told of the new MAC."""
    six, old, new = "2001:db8:5::", "02:00:00:00:00:01", "02:00:00:00:00:02"
    mine = ("192.0.2.140", f"{six}9")

    def known() -> list[str]:
        tables = (other.run(["ip", "neigh"]).stdout, inside(one, "near", "ip neigh"))
        rows = [line.split() for table in tables for line in table.splitlines()]
        return [row[row.index("lladdr") + 1] for row in rows if row[0] in mine and "lladdr" in row]

    create(one, "lan", "-o", f"{PACE}=100", "--ipv6", "--subnet", f"{six}/64")
    run(one, "near", "lan")
    other.run(["ip", "address", "add", f"{six}2/64", "dev", "eth0", "nodad"])
    try:
        for target in mine:
            remember(other, target, old, "eth0")
            remember(one.machine, target, old, "eth0", running(one, "near"))
        assert known() == [old] * 4
        run(one, "new", "lan", "--ip", mine[0], "--ip6", mine[1], "--mac-address", new)
        eventually(lambda: known() == [new] * 4)
    finally:
        other.run(["ip", "address", "del", f"{six}2/64", "dev", "eth0"])


def test_replies_leave_the_way_they_were_asked(one: Daemon, other: Machine) -> None:
    """Somebody behind a router asks the address that is not on the network that leads out."""
    away, behind = "2001:db8:5::", ("198.51.100.1", "2001:db8:99::1")
    gateways = ("--gateway", str(other.address), "--gateway", f"{away}2")
    pools = ("--subnet", LAN, "--ip-range", FIRST, "--subnet", f"{away}/64", *gateways)
    lan = ("network", "create", "-d", "macvlan", "-o", "parent=eth0", "--ipv6", *pools, "lan")
    one.docker("network", "create", "--ipv6", "out")
    one.docker(*lan)
    other.shell(
        f"ip address add {away}2/64 dev eth0 nodad\n"
        + "".join(f"ip address add {address} dev lo\n" for address in behind)
    )
    try:
        for name, answers in (("same", True), ("other", False)):
            asked = f"name=lan,driver-opt=fairlead.reply_same_way={str(answers).lower()}"
            words = ("--network", "name=out,gw-priority=1", "--network", asked)
            one.docker("run", "-d", "--name", name, *words, "busybox", "sleep", "1000000")
            for source, key in zip(behind, ("IPAddress", "GlobalIPv6Address"), strict=True):
                target = address(one, name, "lan", key)
                ping = f"busybox ping -c 1 -W 1 -I {source} {target}"
                heard = f"for _ in $(seq {10 if answers else 2}); do {ping} && exit; done; exit 1"
                assert (other.shell(heard, check=False).returncode == 0) is answers, (name, target)
            # Who is on the segment reaches both, and each goes out by the other network.
            assert host_pings(other, address(one, name, "lan"))
            assert "dev eth0" in inside(one, name, "ip route get 203.0.113.1")
    finally:
        other.shell(
            f"ip address del {away}2/64 dev eth0\n"
            + "".join(f"ip address del {address} dev lo\n" for address in behind)
        )


def test_private_containers_do_not_reach_each_other(one: Daemon, other: Machine) -> None:
    """Each reaches the segment."""
    create(one, "apart", "-o", "macvlan_mode=private")
    first, next_ = run(one, "ann", "apart"), run(one, "bob", "apart")
    assert cut(one, "ann", next_)
    assert pings(one, "ann", str(other.address))
    assert host_pings(other, first)


def test_vepa_needs_a_switch_that_sends_back(one: Daemon, switch: Switch) -> None:
    """What containers say to each other goes out to the switch first."""
    create(one, "vepa", "-o", "macvlan_mode=vepa")
    run(one, "ann", "vepa")
    there = run(one, "bob", "vepa")
    assert pings(one, "ann", ROUTER)
    assert cut(one, "ann", there)
    switch.reflect("port1", on=True)
    try:
        assert pings(one, "ann", there)
    finally:
        switch.reflect("port1", on=False)


def test_passthru_is_for_one(one: Daemon, machine: Machine) -> None:
    """One network, one container; it has the address of its parent."""
    machine.shell("ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up")
    try:
        words = ("network", "create", "-d", "macvlan", "-o", "parent=p0")
        through = ("-o", "macvlan_mode=passthru", "--subnet", "203.0.113.0/24", "through")
        one.docker(*words, *through)
        run(one, "ann", "through")
        mac = machine.run(["cat", "/sys/class/net/p0/address"]).stdout
        assert inside(one, "ann", "cat /sys/class/net/eth0/address") == mac
        said = refused(one, *words, "--subnet", "198.51.100.0/24", "more")
        assert "is already using parent interface p0 in mode passthru" in said
        options = ("--network", "through", "busybox", "true")
        refused(one, "run", "--rm", *options)
        said = refused(one, "run", "--rm", "--mac-address", "02:00:00:00:00:01", *options)
        assert "do not support custom mac address assignment" in said
        assert pings(one, "ann", address(one, "ann", "through"))
    finally:
        one.docker("rm", "-f", "ann", check=False)
        one.docker("network", "rm", "through", check=False)
        machine.shell("ip link del p0")


def test_the_host_with_access(one: Daemon, machine: Machine, other: Machine) -> None:
    """Host and containers talk; it survives the daemon; with the network all of it goes."""
    create(one, "lan", "-o", "fairlead.host_access=true")
    here = run(one, "ann", "lan")
    config = json.loads(one.docker("network", "inspect", "lan").stdout)[0]["IPAM"]["Config"][0]
    mine = config["AuxiliaryAddresses"]["fairlead.host"]
    assert host_pings(machine, here)
    assert pings(one, "ann", mine)
    # Also at its address on the segment, by which people know it.
    assert pings(one, "ann", str(machine.address))
    assert host_pings(other, here)
    one.kill9()
    assert host_pings(machine, here)
    one.start()
    late = run(one, "bob", "lan")
    assert late not in (here, mine)
    assert host_pings(machine, late)
    machine.shell(f"ip route del {late}")
    eventually(lambda: host_pings(machine, late, 1))


def test_what_runs_goes_on_without_the_daemon(one: Daemon, other: Machine) -> None:
    """And is known again when it is back: names, connect, disconnect, remove."""
    create(one, "lan")
    here = run(one, "ann", "lan")
    index = inside(one, "ann", "cat /sys/class/net/eth0/ifindex")
    one.kill9()
    assert host_pings(other, here)
    one.start()
    assert inside(one, "ann", "cat /sys/class/net/eth0/ifindex") == index
    assert "has active endpoints" in refused(one, "network", "rm", "lan")
    run(one, "bob", "bridge")
    one.docker("network", "connect", "lan", "bob")
    assert pings(one, "ann", "bob")
    assert pings(one, "bob", "ann")
    one.docker("network", "disconnect", "lan", "bob")
    assert "eth1" not in inside(one, "bob", "ip link")
    one.docker("rm", "-f", "ann")
    assert "lan" in one.docker("network", "prune", "-f").stdout


def test_its_mac_is_as_steady_as_its_address(one: Daemon) -> None:
    """Over restarts; one that was asked for is given."""
    create(one, "lan")
    run(one, "ann", "lan")
    mac = inside(one, "ann", "cat /sys/class/net/eth0/address")
    assert address(one, "ann", "lan", "MacAddress") == mac.strip()
    one.docker("restart", "-t", "0", "ann")
    assert inside(one, "ann", "cat /sys/class/net/eth0/address") == mac
    run(one, "bob", "lan", "--mac-address", "02:00:00:00:00:0b")
    assert inside(one, "bob", "cat /sys/class/net/eth0/address") == "02:00:00:00:00:0b\n"
    assert pings(one, "ann", "bob")


def test_ports_are_not_published(one: Daemon, machine: Machine, other: Machine) -> None:
    """The container is reached at its own address; nothing listens on the host."""
    create(one, "lan")
    run(one, "ann", "lan", "-p", "8080:80")
    assert ":8080" not in machine.run(["ss", "-Hltn"]).stdout
    assert one.docker("port", "ann").stdout == ""
    inside(one, "ann", "echo hello >/tmp/index.html; httpd -h /tmp -p 80")
    page = f"http://{address(one, 'ann', 'lan')}/"
    assert other.run(["busybox", "wget", "-q", "-O", "-", page]).stdout == "hello\n"


def test_its_mtu(one: Daemon) -> None:
    """That of the parent, or the one that was asked for; more than that of the parent is refused."""
    create(one, "lan")
    create_small = (
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=eth0",
        "--subnet",
        "203.0.113.0/24",
    )
    one.docker(*create_small, "-o", "com.docker.network.driver.mtu=1400", "small")
    run(one, "ann", "lan")
    run(one, "bob", "small")
    assert inside(one, "ann", "cat /sys/class/net/eth0/mtu") == "1500\n"
    assert inside(one, "bob", "cat /sys/class/net/eth0/mtu") == "1400\n"


def test_two_networks_share_a_parent(one: Daemon) -> None:
    """With subnets of their own; they are one segment all the same."""
    create(one, "lan")
    words = ("network", "create", "-d", "macvlan", "-o", "parent=eth0")
    one.docker(*words, "--subnet", "203.0.113.0/24", "more")
    run(one, "ann", "lan")
    run(one, "bob", "more")
    said = refused(one, *words, "--subnet", LAN, "--ip-range", FIRST, "again")
    assert "Pool overlaps with other one on this address space" in said
    one.docker("rm", "-f", "ann")
    one.docker("network", "rm", "lan")
    assert "inet 203.0.113.2/24" in inside(one, "bob", "ip addr show eth0")


def test_a_parent_that_comes_back(one: Daemon, machine: Machine) -> None:
    """Its containers lose their links with it, and have them again with it, addresses and all."""
    make = "ip link add p0 type veth peer name p1; ip link set p1 up; ip link set p0 up"
    machine.shell(make)
    try:
        words = (
            "network",
            "create",
            "-d",
            "macvlan",
            "-o",
            "parent=p0",
            "--subnet",
            "203.0.113.0/24",
        )
        one.docker(*words, "cable")
        run(one, "ann", "cable")
        machine.shell("ip link del p0")
        assert "eth0" not in inside(one, "ann", "ip link")
        # Nothing else suffers from that.
        run(one, "bob", "bridge")
        one.stop()
        one.start()
        assert "eth0" not in inside(one, "ann", "ip link")
        said = refused(one, "run", "--rm", "--network", "cable", "busybox", "true")
        assert "the requested parent interface p0 was not found" in said
        machine.shell(make)
        eventually(lambda: "inet 203.0.113.2/24" in inside(one, "ann", "ip addr"))
        assert "default via 203.0.113.1" in inside(one, "ann", "ip route")
    finally:
        one.docker("rm", "-f", "ann", "bob", check=False)
        one.docker("network", "rm", "cable", check=False)
        machine.shell("ip link del p0", check=False)


def test_doctor_and_explain_know_them(one: Daemon) -> None:
    """What stands, why, and that all is well though the host has a route to the subnet."""
    create(one, "lan", "-o", "fairlead.host_access=true")
    run(one, "ann", "lan")
    said = one.fairlead("explain", "lan").stdout
    assert "macvlan fl-" in said
    assert "the host has access to network lan" in said
    assert "macvlan eth0 on eth0 (bridge 02:42:" in one.fairlead("explain", "ann").stdout
    assert "lan ═ macvlan eth0 192.0.2.0/24" in one.fairlead("network", "tree").stdout
    findings = one.fairlead("doctor", check=False).stdout
    assert "is missing" not in findings
    assert "192.0.2.0/24" not in findings


def test_a_kernel_without_ipvlan(one: Daemon, machine: Machine) -> None:
    """Says so, with the option that it was built without; where there is ipvlan, it is made."""
    trial = "ip link add link eth0 name trial0 type ipvlan mode l2 && ip link del trial0"
    can = machine.shell(trial, check=False).returncode == 0
    words = ("network", "create", "-d", "ipvlan", "-o", "parent=eth0", "--subnet", LAN, "lan")
    if can:
        one.docker(*words)
        return
    said = refused(one, *words)
    assert "operation not supported: this kernel was built without CONFIG_IPVLAN" in said
    assert "lan" not in one.docker("network", "ls", "--format", "{{.Name}}").stdout.split()


REFUSALS = {
    "-o parent=lo": "loopback interface is not a valid macvlan parent link",
    "-o parent=eth0 -o macvlan_mode=zz": "requested macvlan mode 'zz' is not valid, 'bridge' mode "
    "is the macvlan driver default",
    "-o parent=nosuch0": "invalid subinterface vlan name nosuch0, example formatting is eth0.10",
    "-o parent=nosuch0.7": "-o parent interface was not found on the host: nosuch0",
    "-o parent=eth0.7.8": "required interface name format is: name.vlan_id, ex. eth0.10 for vlan "
    "10, instead received eth0.7.8",
    "-o parent=eth0.x": "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)",
    "-o parent=eth0.4095": "vlan id must be between 1-4094, received: 4095",
    "-o parent=eth0 -o macvlan_mode=private -o fairlead.host_access=true": "links on the parent "
    "do not reach each other",
}


@pytest.mark.parametrize("options", REFUSALS)
def test_what_cannot_be_is_refused(one: Daemon, options: str) -> None:
    """In Docker's words where it has them, and nothing is left of it."""
    said = refused(one, "network", "create", "-d", "macvlan", *options.split(), "bad")
    assert REFUSALS[options] in said
    assert "bad" not in one.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
