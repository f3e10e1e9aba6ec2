"""What befalls a cluster, what it is told on the sly, and whether its hosts agree with its store."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from tests.lab import Machine
from tests.lab.busybox import BUSYBOX
from tests.overlay.cluster import Cluster, Host, eventually

ROOT = "docker/network/v1.0"

# Runs on the store's machine: reads, writes or sets back what lies in etcd.
ETCD = """
import base64, json, sys, urllib.request
def ask(what, **fields):
    body = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in fields.items()}
    asked = urllib.request.Request(f"http://127.0.0.1:2379/v3/kv/{what}", json.dumps(body).encode())
    return json.load(urllib.request.urlopen(asked, timeout=30))
def back(backup):
    # All at once, as a restore is: nobody may see a store that is empty in between.
    found = ask("range", key=b"docker/network/", range_end=b"docker/network0").get("kvs", [])
    said = lambda text: base64.b64encode(text.encode("latin-1")).decode()
    drop = {kv["key"] for kv in found} - {said(key) for key in backup}
    steps = [{"request_delete_range": {"key": key}} for key in sorted(drop)]
    steps += [{"request_put": {"key": said(k), "value": said(v)}} for k, v in backup.items()]
    ask("txn", success=steps)
for what, key, value in json.load(sys.stdin):
    if what == "back":
        back(json.loads(value))
        continue
    key, value = key.encode(), value.encode("latin-1")
    if what == "put":
        ask("put", key=key, value=value)
    elif what == "drop":
        ask("deleterange", key=key)
    else:
        found = ask("range", key=key, range_end=key[:-1] + bytes([key[-1] + 1])).get("kvs", [])
        pair = lambda kv: [base64.b64decode(kv.get(x, "")).decode("latin-1") for x in ("key", "value")]
        print(json.dumps([pair(kv) for kv in found]))
"""


class Etcd:
    """What lies in a store, from behind everybody's back."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def _ask(self, *words: tuple[str, str, str]) -> str:
        argv = [sys.executable, "-I", "-S", "-c", ETCD]
        return self.machine.run(argv, stdin=json.dumps(words)).stdout

    def below(self, prefix: str) -> dict[str, str]:
        """All keys below a prefix; values as Latin-1."""
        return dict(json.loads(self._ask(("range", prefix, ""))))

    def put(self, pairs: Mapping[str, str]) -> None:
        """Writes keys, whatever they hold."""
        self._ask(*(("put", key, value) for key, value in pairs.items()))

    def drop(self, *keys: str) -> None:
        """Removes keys."""
        self._ask(*(("drop", key, "") for key in keys))

    def set_back(self, backup: Mapping[str, str]) -> None:
        """Makes all be as it was, but for who lives: nothing of the backup is ever missing."""
        self._ask(("back", "", json.dumps(backup)))


class Pings:
    """A container pings another all the time, whatever becomes of the daemon."""

    def __init__(self, host: Host, name: str, target: str) -> None:
        self._path = f"/run/pings-{name}"
        self._host = host
        pid = host.docker("inspect", "-f", "{{.State.Pid}}", name)
        self._words: IO[bytes] = host.machine.path(self._path).open("wb")
        command = [BUSYBOX, "ping", "-i", "0.1", target]
        self._process = host.machine.popen(
            ["nsenter", "-t", pid, "-n", "--", *command], stdout=self._words
        )
        eventually(lambda: self.heard)

    @property
    def heard(self) -> list[int]:
        """The numbers of the answers so far."""
        text = self._host.machine.path(self._path).read_text()
        return [int(number) for number in re.findall(r"seq=(\d+) ", text)]

    def go_on(self, count: int = 5) -> bool:
        """Waits for more answers to come."""
        have = len(self.heard)
        eventually(lambda: len(self.heard) >= have + count)
        return True

    @property
    def lost(self) -> set[int]:
        """The numbers between the first answer and the last one that were not answered."""
        heard = self.heard
        return set(range(heard[0], heard[-1])) - set(heard)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._words.close()


@contextmanager
def deaf(machine: Machine, *others: object) -> Iterator[None]:
    """A machine does not hear others any more; what it sends arrives."""
    sources = ", ".join(map(str, others))
    machine.shell(
        "nft add table inet fault\n"
        "nft add chain inet fault hear '{ type filter hook input priority -400; }'\n"
        f"nft add rule inet fault hear ip saddr '{{ {sources} }}' drop"
    )
    try:
        yield
    finally:
        machine.shell("nft delete table inet fault")


@contextmanager
def apart(one: Machine, two: Machine) -> Iterator[None]:
    """Two machines do not hear each other."""
    with deaf(one, two.address), deaf(two, one.address):
        yield


Reach = dict[str, tuple[str, str]]
"""Addresses, with their MACs and hosts."""


def programmed(host: Host, network: str) -> Reach:
    """Where a host's kernel sends what is for containers on other hosts."""
    space = f"/run/fairlead/netns/1-{network[:10]}"
    if not host.machine.path(space).exists():
        return {}
    enter = f"nsenter --net={space}"
    fdb = host.shell(f"{enter} bridge fdb show dev vxlan0", check=False)
    near = host.shell(f"{enter} ip neigh show dev vxlan0", check=False)
    hosts = dict(re.findall(r"^(\S+) dst (\S+) ", f"{fdb}\n", re.M))
    macs = dict(re.findall(r"^(\S+) lladdr (\S+) ", f"{near}\n", re.M))
    # Read one after the other: what has no other half yet, or any more, is told as it is.
    lone = {mac: (mac, place) for mac, place in hosts.items() if mac not in macs.values()}
    return {address: (mac, hosts.get(mac, "")) for address, mac in macs.items()} | lone


def stored(store: Etcd, network: str) -> Reach:
    """Where containers are, as the store says."""
    found: Reach = {}
    for value in store.below(f"{ROOT}/endpoint/{network}/").values():
        record = json.loads(value)
        address = record["ep_iface"]["addr"].split("/")[0]
        assert address not in found, f"{address} has two owners"
        found[address] = (record["ep_iface"]["mac"], record["locator"])
    return found


def differences(cluster: Cluster, store: Etcd, network: str) -> dict[str, Reach]:
    """What is wrong in kernels: by host, what is there and what should be, where these differ."""
    said = stored(store, network)
    found: dict[str, Reach] = {}
    for host in cluster.hosts:
        own = str(host.machine.address)
        here = [address for address, (_, place) in said.items() if place == own]
        others = {a: where for a, where in said.items() if where[1] != own}
        is_, should = programmed(host, network), others if here else {}
        if is_ != should:
            found[f"{host.machine.name} has"] = _without(is_, should)
            found[f"{host.machine.name} lacks"] = _without(should, is_)
    return found


def _without(some: Reach, other: Reach) -> Reach:
    return dict(sorted(some.items() - other.items()))


def running(cluster: Cluster, network: str) -> dict[str, str]:
    """The addresses of the containers on a network, and on which hosts they are."""
    ends: dict[str, str] = {}
    for host in cluster.hosts:
        form = "{{range .NetworkSettings.Networks}}{{.NetworkID}} {{.IPAddress}};{{end}}"
        names = host.docker("ps", "-q").split()
        lines = host.docker("inspect", "-f", form, *names).splitlines() if names else []
        for id_, address in re.findall(r"(\S+) ([\d.]+);", "".join(lines)):
            if id_ == network:
                assert address not in ends, f"{address} has two owners"
                ends[address] = str(host.machine.address)
    return ends


def settled(cluster: Cluster, store: Etcd, network: str) -> None:
    """Waits until all agree, and sees that every container is known with its own address."""
    ends = running(cluster, network)

    def known() -> dict[str, str]:
        return {address: place for address, (_, place) in stored(store, network).items()}

    def still() -> str:
        lines = [f"containers: {sorted(ends.items())}", f"the store: {sorted(known().items())}"]
        wrong = differences(cluster, store, network)
        lines += [f"{what}: {reach}" for what, reach in wrong.items()]
        return "\n".join(lines)

    eventually(lambda: known() == ends and not differences(cluster, store, network), else_say=still)
