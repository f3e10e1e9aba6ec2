"""More faults, while containers ping each other: lies in the store, a slow one, a host without power.

::

    store 192.0.2.1 ── switch ── one 192.0.2.2, two 192.0.2.3, three 192.0.2.4
                                  aa ──pings──► bb ──pings──► cc ──pings──► aa
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab import Machine, Switch
from tests.lab.stores import Server, etcd
from tests.overlay import slow
from tests.overlay.cluster import Cluster, Host, eventually
from tests.overlay.faults import ROOT, Etcd, Pings, programmed
from tests.overlay.test_faults import Town, losses, unharmed

pytestmark = pytest.mark.root

PORT = 3379
"""Of the way to the store, on its machine."""
DELAY = "/run/delay"
TTL_SECONDS = 30
"""Longer than a daemon takes to start again, on a busy machine."""


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Three hosts whose way to the etcd can be made slow; a container on each."""
    flags = (
        f"--cluster-store-opt=discovery.ttl={TTL_SECONDS}",
        "--cluster-store-opt=discovery.heartbeat=5",
    )
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two", "three")]
        server = stack.enter_context(etcd(keeper))
        stack.enter_context(_way(keeper, server))
        cluster = stack.enter_context(Cluster(switch, server, hosts, *flags))
        network = hosts[0].docker("network", "create", "-d", "overlay", "ov")
        for host in hosts:
            eventually(lambda host=host: "ov " in host.networks())  # type: ignore[misc]
        where = dict(zip(("aa", "bb", "cc"), hosts, strict=True))
        addresses = {n: host.run(n, "ov", "--restart=always") for n, host in where.items()}
        pairs = {"ab": ("aa", "bb"), "bc": ("bb", "cc"), "ca": ("cc", "aa")}
        pings = {k: Pings(where[x], x, addresses[y]) for k, (x, y) in pairs.items()}
        made = Town(cluster, server, Etcd(keeper), network, pings, addresses)
        stack.callback(made.close)
        made.settled()
        yield made


@contextmanager
def _way(keeper: Machine, server: Server) -> Iterator[None]:
    """Daemons find the store at the end of it."""
    words = [sys.executable, "-I", "-S", slow.__file__, str(PORT), "2379", DELAY]
    with keeper.popen(words) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        server.url = f"etcd://{keeper.address}:{PORT}"
        try:
            yield
        finally:
            process.kill()


def lies(town: Town) -> dict[str, str]:
    """Keys of the cluster and what somebody writes there, each wrong in a way of its own."""
    found: dict[str, str] = {}
    records = town.store.below(f"{ROOT}/endpoint/{town.network}/").values()
    sound = json.loads(next(record for record in records if '"name":"bb"' in record))

    def tell(changes: Mapping[str, object], iface: Mapping[str, object]) -> None:
        id_ = f"{len(found):x}".rjust(64, "f")
        inner = {**sound["ep_iface"], "addr": "10.0.0.99/24", "mac": "02:42:0a:00:00:63", **iface}
        record = {**sound, "name": "evil", "id": id_, **changes, "ep_iface": inner}
        found[f"{ROOT}/endpoint/{town.network}/{id_}"] = json.dumps(record)

    addresses = ("127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "203.0.113.77")
    changes: list[Mapping[str, object]] = [
        *({"locator": address} for address in (*addresses, 7)),
        {"name": "../../etc/passwd"},
        {"name": "evil\n6.6.6.6 bank.example"},
        {"name": 'x"; } delete table inet fairlead; #'},
        {"name": "n" * 1_000_000},
        {"myAliases": [f"n{number}" for number in range(5000)]},
        {"myAliases": {"a": "b"}},
        {"generic": []},
        {"anonymous": "perhaps"},
        {"id": "another"},
    ]
    for change in changes:
        tell(change, {})
    ifaces: list[Mapping[str, object]] = [
        {"addr": "198.51.100.7/24"},
        {"addr": "10.0.0.1/24"},
        {"addr": f"{town.addresses['aa']}/24"},
        {"addr": "10.0.0.99/2400"},
        {"mac": sound["ep_iface"]["mac"]},
        {"mac": "ff:ff:ff:ff:ff:ff"},
        {"mac": 7},
    ]
    for iface in ifaces:
        tell({}, iface)
    deep = "[" * 50_000
    for garbage in ("", "{", "null", "\xff\xfe\0", deep, "7", '{"id": NaN}'):
        found[f"{ROOT}/endpoint/{town.network}/{f'{len(found):x}'.rjust(64, 'e')}"] = garbage
        found[f"{ROOT}/network/{f'{len(found):x}'.rjust(64, 'd')}"] = garbage
        found[f"docker/nodes/{len(found)}"] = garbage
    found[f"{ROOT}/endpoint/{town.network}/../../x"] = json.dumps(sound)
    found[f"{ROOT}/endpoint/nowhere/{'c' * 64}"] = json.dumps(sound)
    found["docker/nodes/127.0.0.1:2376"] = "127.0.0.1:2376"
    found["docker/nodes/224.0.0.1:2376"] = "224.0.0.1:2376"
    return found


def test_lies_in_the_store_move_nothing(town: Town) -> None:
    """They are reported and not obeyed; who runs goes on, and new containers come to it."""
    before = losses(town)
    there = [programmed(host, town.network) for host in town.hosts]
    names = [host.networks() for host in town.hosts]
    told = lies(town)
    for key, value in told.items():
        town.store.put({key: value})
    # Whoever has heard of this one has heard of all that was written before.
    one, two, three = town.hosts
    fresh = two.run("fresh", "ov")
    eventually(lambda: one.pings("aa", fresh) and three.pings("cc", fresh))
    for host, known, listed in zip(town.hosts, there, names, strict=True):
        now = programmed(host, town.network)
        assert {k: v for k, v in now.items() if k != fresh} == known
        assert host.networks() == listed
        said = host.daemon.log
        assert "f" * 62 in said
        assert "e" * 62 in said
        assert "evil" not in host.docker("network", "inspect", "ov")
        assert max(map(len, said.splitlines())) < 5000
    assert one.docker("exec", "aa", "cat", "/etc/hosts").count("bank") == 0
    three.daemon.restart()
    eventually(lambda: three.pings("cc", fresh))
    assert {k: v for k, v in programmed(three, town.network).items() if k != fresh} == there[2]
    town.store.drop(*told)
    two.docker("rm", "-f", "fresh")
    town.settled()
    unharmed(town, before)


def test_a_store_that_is_slow(town: Town) -> None:
    """Each word to it and from it takes a second: changes take their time and come to pass."""
    one, two, three = town.hosts
    before = losses(town)
    delay = town.store.machine.path(DELAY)
    delay.write_text("1")
    try:
        fresh = two.run("fresh", "ov")
        eventually(lambda: one.pings("aa", fresh) and three.pings("cc", fresh), 120)
        for each in town.pings.values():
            each.go_on(20)
        two.docker("rm", "-f", "fresh")
        eventually(lambda: fresh not in programmed(one, town.network), 120)
    finally:
        delay.unlink()
    town.settled()
    unharmed(town, before)


def test_a_host_loses_power(town: Town) -> None:
    """Its peers go when its time is over, and come back with it and with its containers."""
    one, two, three = town.hosts
    before = losses(town)
    address = town.addresses["cc"]
    _power_off(three.machine)
    eventually(lambda: address not in programmed(one, town.network), 3 * TTL_SECONDS)
    eventually(lambda: address not in programmed(two, town.network), 3 * TTL_SECONDS)
    lost = losses(town)
    assert lost["ab"] == before["ab"]
    three.machine.shell("ip link set eth0 up")
    three.daemon.start()
    eventually(lambda: three.docker("ps", "-q", "--filter", "name=cc"))
    again = three.address("cc", "ov")
    eventually(lambda: again in programmed(one, town.network))
    eventually(lambda: two.pings("bb", "cc") and three.pings("cc", "aa"))
    assert losses(town)["ab"] == before["ab"]


def _power_off(machine: Machine) -> None:
    """All its processes are killed, its link is down, and what its kernel had is gone."""
    inside = machine.path("/proc")

    def pids() -> list[str]:
        return [path.name for path in inside.glob("[0-9]*") if path.name != "1"]

    def dead() -> bool:
        # One more is the shell itself, which is gone by the next time.
        machine.shell(f"kill -9 {' '.join(pids())} 2>/dev/null || true")
        return not _alive(inside, pids())

    eventually(dead)
    machine.shell(
        "ip link set eth0 down\n"
        "for pin in $(awk '$5 ~ \"^/run/fairlead|^/var/lib/fairlead\" { print $5 }' "
        "/proc/self/mountinfo | sort -r); do umount -l $pin; done\n"
        "rm -rf /run/fairlead /run/docker.sock /run/netns /run/docker\n"
        "nft flush ruleset\n"
        "for link in $(ls /sys/class/net); do case $link in lo|eth0) ;; *) ip link del $link || true;; esac; done"
    )


def _alive(inside: Path, pids: list[str]) -> list[str]:
    """Those that are no corpses."""
    states = {pid: _state(inside / pid / "stat") for pid in pids}
    return [pid for pid, state in states.items() if state not in ("", "Z")]


def _state(path: Path) -> str:
    try:
        return path.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
