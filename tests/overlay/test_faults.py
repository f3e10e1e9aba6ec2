"""Faults: links, hosts, daemons and the store fail while containers ping each other all the time.

::

    store 192.0.2.1 ── switch ── one 192.0.2.2, two 192.0.2.3, three 192.0.2.4
                                  aa ──pings──► bb ──pings──► cc ──pings──► aa
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.lab import DaemonFailed, Switch
from tests.lab.stores import Server, etcd
from tests.overlay.cluster import PATIENCE_SECONDS, Cluster, Host, eventually
from tests.overlay.faults import (
    Etcd,
    Pings,
    apart,
    deaf,
    programmed,
    settled,
)

pytestmark = pytest.mark.root

TTL_SECONDS = 30
"""Longer than a daemon takes to start again: till then others believe that its host lives."""


@dataclass
class Town:
    """A cluster, its network, and who pings whom."""

    cluster: Cluster
    server: Server
    store: Etcd
    network: str
    pings: dict[str, Pings]
    addresses: dict[str, str]

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        one, two, three = self.cluster.hosts
        return one, two, three

    def settled(self) -> None:
        """All agree, and all hear each other."""
        settled(self.cluster, self.store, self.network)
        for each in self.pings.values():
            each.go_on()

    def close(self) -> None:
        for each in self.pings.values():
            each.close()


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Three hosts, an etcd, a container on each."""
    flags = (
        f"--cluster-store-opt=discovery.ttl={TTL_SECONDS}",
        "--cluster-store-opt=discovery.heartbeat=5",
        # What is mended here is so because the kernel told of it.
        "--audit-interval=0",
    )
    with Switch() as switch:
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two", "three")]
        with etcd(keeper) as server, Cluster(switch, server, hosts, *flags) as cluster:
            network = hosts[0].docker("network", "create", "-d", "overlay", "ov")
            for host in hosts:
                eventually(lambda host=host: "ov " in host.networks())  # type: ignore[misc]
            where = dict(zip(("aa", "bb", "cc"), hosts, strict=True))
            addresses = {name: host.run(name, "ov") for name, host in where.items()}
            pairs = {"ab": ("aa", "bb"), "bc": ("bb", "cc"), "ca": ("cc", "aa")}
            pings = {k: Pings(where[x], x, addresses[y]) for k, (x, y) in pairs.items()}
            made = Town(cluster, server, Etcd(keeper), network, pings, addresses)
            made.settled()
            yield made
            made.close()


@pytest.fixture(autouse=True)
def whole(town: Town) -> Iterator[None]:
    """Before each test all is well, and after it, too."""
    yield
    town.settled()


def losses(town: Town) -> dict[str, set[int]]:
    """What was lost so far."""
    return {name: each.lost for name, each in town.pings.items()}


def unharmed(town: Town, before: dict[str, set[int]]) -> None:
    """Nothing was lost since."""
    more = {name: len(lost - before[name]) for name, lost in losses(town).items()}
    assert not any(more.values()), f"pings that were lost: {more}"


@pytest.mark.parametrize("how", ["stop", "kill", "freeze"])
def test_the_store_goes_and_comes(town: Town, how: str) -> None:
    """What runs goes on, local work as well; what needs the store fails with one clear line."""
    one, two, _ = town.hosts
    before = losses(town)
    {"stop": town.server.stop, "kill": town.server.kill, "freeze": town.server.freeze}[how]()
    try:
        refused = one.docker("run", "-d", "--name", "xx", "--net", "ov", "busybox", check=False)
        assert "store" in refused.splitlines()[-1] or "store" in refused, refused
        one.docker("rm", "-f", "xx", check=False)
        one.docker("run", "--rm", "--net", "bridge", "busybox", "true")
        for each in town.pings.values():
            each.go_on(20)
    finally:
        town.server.thaw() if how == "freeze" else town.server.start()
    began = time.monotonic()

    def made() -> bool:
        done = two.docker("run", "-d", "--name", "yy", "--net", "ov", "busybox", "sleep", "600",
                          check=False)  # fmt: skip
        if "Error" in done:
            two.docker("rm", "-f", "yy", check=False)
        return "Error" not in done

    eventually(made)
    print(f"MEASURED store {how}: changes again after {time.monotonic() - began:.2f} s")
    target = two.address("yy", "ov")
    eventually(lambda: one.pings("aa", target))
    town.settled()
    print(f"MEASURED store {how}: agreed after {time.monotonic() - began:.2f} s")
    two.docker("rm", "-f", "yy")
    unharmed(town, before)


def test_a_daemon_dies_and_others_go_on(town: Town) -> None:
    """Its containers are heard all the time; back, it learns what it missed."""
    one, two, three = town.hosts
    before = losses(town)
    gone = one.run("gone", "ov")
    eventually(lambda: gone in programmed(two, town.network))
    two.daemon.kill9()
    one.docker("rm", "-f", "gone")
    came = three.run("came", "ov")
    eventually(lambda: one.pings("aa", came))
    for each in town.pings.values():
        each.go_on(20)
    began = time.monotonic()
    two.daemon.start()
    eventually(lambda: gone not in programmed(two, town.network))
    eventually(lambda: two.pings("bb", came))
    print(f"MEASURED daemon back: right after {time.monotonic() - began:.2f} s")
    three.docker("rm", "-f", "came")
    unharmed(town, before)


def test_a_link_between_two_hosts_is_cut(town: Town) -> None:
    """Both ways, and one way: only those two lose something; it goes on as soon as it may."""
    one, two, _ = town.hosts
    before = losses(town)
    with apart(one.machine, two.machine):
        town.pings["bc"].go_on(10)
        town.pings["ca"].go_on(10)
    town.pings["ab"].go_on()
    with deaf(two.machine, one.machine.address):
        town.pings["bc"].go_on(10)
        town.pings["ca"].go_on(10)
    town.pings["ab"].go_on()
    after = losses(town)
    assert (after["bc"], after["ca"]) == (before["bc"], before["ca"])
    assert after["ab"] > before["ab"]


def test_what_is_broken_inside_is_mended(town: Town) -> None:
    """By whom it is told at once; containers on both sides hear each other again."""
    one = town.hosts[0]
    there = town.addresses["bb"]
    space = f"/run/fairlead/netns/1-{town.network[:10]}"
    known = programmed(one, town.network)
    mac, host = known[there]
    began = time.monotonic()
    for broken in (
        f"bridge fdb del {mac} dev vxlan0 self dst {host}",
        f"ip neigh del {there} dev vxlan0",
        "ip link set vxlan0 nomaster",
        "ip link set br0 down",
        "ip link del vxlan0",
        "ip link del br0",
    ):
        one.shell(f"nsenter --net={space} {broken}")
        eventually(lambda: programmed(one, town.network) == known)
        town.pings["ab"].go_on()
        town.pings["ca"].go_on()
    print(f"MEASURED broken inside, six times: whole after {time.monotonic() - began:.2f} s")


@pytest.mark.parametrize("ways", ["both", "out", "back"])
def test_a_host_without_the_store(town: Town, ways: str) -> None:
    """It changes nothing of the cluster, the others do; healed, nobody has another's address."""
    one, two, three = town.hosts
    keeper = town.store.machine
    before = losses(town)
    cuts = {
        "both": lambda: apart(three.machine, keeper),
        "out": lambda: deaf(keeper, three.machine.address),
        "back": lambda: deaf(three.machine, keeper.address),
    }
    with cuts[ways]():
        refused = three.docker("run", "-d", "--name", "xx", "--net", "ov", "busybox", check=False)
        assert "store" in refused, refused
        three.docker("rm", "-f", "xx", check=False)
        fresh = two.run("yy", "ov")
        eventually(lambda: one.pings("aa", fresh))
        one.docker("network", "create", "-d", "overlay", "more")
        if ways == "both":
            # A time to live later the others take it for dead, and it takes nobody for that.
            eventually(
                lambda: town.addresses["cc"] not in programmed(one, town.network),
                TTL_SECONDS + PATIENCE_SECONDS,
            )
        assert town.addresses["aa"] in programmed(three, town.network)
    began = time.monotonic()
    eventually(lambda: town.addresses["cc"] in programmed(one, town.network))
    print(f"MEASURED cut off {ways}: its peers are back after {time.monotonic() - began:.2f} s")
    eventually(lambda: "more" in three.networks())
    mine = three.run("zz", "ov")
    assert mine != fresh
    town.settled()
    two.docker("rm", "-f", "yy")
    three.docker("rm", "-f", "zz")
    three.docker("network", "rm", "more")
    assert losses(town)["ab"] == before["ab"]


def test_a_store_that_lost_everything(town: Town) -> None:
    """Wiped, it is told again by those who run, and who pings does not notice."""
    before = losses(town)
    one, _, three = town.hosts
    town.store.set_back({})
    began = time.monotonic()
    town.settled()
    print(f"MEASURED store wiped: whole after {time.monotonic() - began:.2f} s")
    fresh = three.run("xx", "ov")
    assert fresh not in town.addresses.values()
    eventually(lambda: one.pings("aa", fresh))
    three.docker("rm", "-f", "xx")
    unharmed(town, before)


def test_a_store_set_back_to_a_backup(town: Town) -> None:
    """Containers that are no more go again, those that came since are told again."""
    before = losses(town)
    one, two, three = town.hosts
    gone = one.run("gone", "ov")
    backup = town.store.below("docker/network/")
    one.docker("rm", "-f", "gone")
    came = two.run("came", "ov")
    eventually(lambda: came in programmed(one, town.network))
    town.store.set_back(backup)
    began = time.monotonic()
    town.settled()
    print(f"MEASURED store set back: whole after {time.monotonic() - began:.2f} s")
    assert gone not in programmed(three, town.network)
    fresh = three.run("fresh", "ov")
    assert fresh not in {came, *town.addresses.values()}
    eventually(lambda: one.pings("aa", came))
    two.docker("rm", "-f", "came")
    three.docker("rm", "-f", "fresh")
    unharmed(town, before)


def test_everything_restarts_at_once(town: Town) -> None:
    """Store and daemons: who pings does not notice."""
    before = losses(town)
    town.server.kill()
    for host in town.hosts:
        host.daemon.kill9()
    town.server.start()
    with ThreadPoolExecutor() as pool:
        # One after the other they may take longer than a host may be silent.
        list(pool.map(lambda host: host.daemon.start(), town.hosts))
    began = time.monotonic()
    town.settled()
    print(f"MEASURED all at once: whole after {time.monotonic() - began:.2f} s")
    unharmed(town, before)


def test_a_new_owner_never_hears_what_was_for_the_old_one(town: Town) -> None:
    """Who still believes the old owner's MAC reaches nobody."""
    one, two, three = town.hosts
    address = one.run("old", "ov")
    eventually(lambda: two.pings("bb", address))
    mac = one.docker("inspect", "-f", "{{.NetworkSettings.Networks.ov.MacAddress}}", "old")
    one.docker("rm", "-f", "old")
    three.run("new", "ov", "--ip", address)
    pid = two.docker("inspect", "-f", "{{.State.Pid}}", "bb")
    eventually(lambda: two.pings("bb", address))
    two.shell(f"nsenter -t {pid} -n ip neigh replace {address} lladdr {mac} dev eth0 nud permanent")
    assert not two.pings("bb", address, count=2, wait=1)
    two.shell(f"nsenter -t {pid} -n ip neigh del {address} dev eth0")
    eventually(lambda: two.pings("bb", address))
    three.docker("rm", "-f", "new")


def test_a_host_comes_back_under_another_address(town: Town) -> None:
    """Its containers are found where it is now."""
    three = town.hosts[2]
    was, becomes = three.machine.addresses[0], three.machine.addresses[0] + 40
    for there in (becomes, was):
        three.daemon.stop()
        three.shell(f"ip addr flush dev eth0; ip addr add {there}/24 dev eth0")
        three.machine.addresses[0] = there
        three.daemon.start(f"--cluster-advertise={there}:2376")
        began = time.monotonic()
        town.settled()
        print(f"MEASURED another address: {time.monotonic() - began:.2f} s")


def test_an_address_that_is_anothers_is_refused(town: Town) -> None:
    """Two hosts told the same address: the one that does not have it does not start."""
    one, two, _ = town.hosts
    two.daemon.stop()
    with pytest.raises(DaemonFailed, match=f"no interface.*{one.machine.address}"):
        two.daemon.start(f"--cluster-advertise={one.machine.address}:2376")
    two.daemon.start()
