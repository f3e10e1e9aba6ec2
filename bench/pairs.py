"""Pairs of hosts, each pair a cluster of its own, on one switch with the stores they share.

Pairs on one store have prefixes of their own there. Docker's daemons gossip always; fairlead's
do where a serf is on their PATH.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.lab import Daemon, Machine, Switch
from tests.lab.daemon import PROGRAM
from tests.lab.debian import NoPackage, unpacked
from tests.lab.docker20 import Docker20
from tests.lab.stores import Server, consul, etcd, zookeeper

from bench.client import UnixConnection
from bench.figures import OURS, THEIRS
from bench.subjects import Subject

SERVERS = {"etcd": etcd, "Consul": consul, "ZooKeeper": zookeeper}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a pair is made of."""

    name: str
    store: str
    options: tuple[str, ...] = ()
    serf: bool = False


KINDS = (
    Kind(OURS, "etcd"),
    Kind("etcd, serf", "etcd", serf=True),
    Kind("etcd v2", "etcd", ("kv.api=2",)),
    Kind("etcd v2, serf", "etcd", ("kv.api=2",), serf=True),
    Kind("Consul", "Consul"),
    Kind("Consul, serf", "Consul", serf=True),
    Kind("ZooKeeper", "ZooKeeper"),
    Kind("ZooKeeper, serf", "ZooKeeper", serf=True),
)
"""fairlead's pairs; the first has what is the default, and stands for all of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hosts of one cluster."""

    name: str
    here: Subject
    there: Subject


@contextmanager
def pairs(switch: Switch, kinds: Sequence[Kind] = KINDS) -> Iterator[list[Pair]]:
    """Pairs that run and have the image; Docker's too if it can be had."""
    with ExitStack() as stack:
        servers = {
            store: stack.enter_context(SERVERS[store](switch.machine(store.lower())))
            for store in dict.fromkeys(kind.store for kind in kinds)
        }
        found = [_pair(stack, switch, servers[kind.store], kind) for kind in kinds]
        try:
            found.append(_dockers(stack, switch, servers["etcd"]))
        except NoPackage as error:
            print(f"Debian's Docker is not to be had here, so fairlead is alone: {error}")
        yield found


def _pair(stack: ExitStack, switch: Switch, server: Server, kind: Kind) -> Pair:
    prefix = kind.name.translate({ord(" "): "-", ord(","): None})
    path = f"{unpacked('serf') / 'usr/bin'}:{SYSTEM_PATH}" if kind.serf else SYSTEM_PATH
    hosts = []
    for end in ("a", "b"):
        machine = switch.machine(f"{prefix}-{end}".lower())
        flags = [
            f"--cluster-store={server.url}/{prefix}",
            f"--cluster-advertise={machine.address}:2376",
            *(f"--cluster-store-opt={option}" for option in kind.options),
        ]
        command = ["env", f"PATH={path}", str(PROGRAM), "daemon", "-H", "unix:///run/docker.sock"]
        hosts.append(_started(stack, kind.name, Daemon(machine, *flags, command=command)))
    return Pair(kind.name, *hosts)


def _dockers(stack: ExitStack, switch: Switch, server: Server) -> Pair:
    unpacked("docker.io")
    hosts = []
    for end in ("a", "b"):
        machine = switch.machine(f"docker-{end}")
        flags = [
            f"--cluster-store={server.url}/docker20",
            f"--cluster-advertise={machine.address}:2376",
            "--log-level=error",
        ]
        hosts.append(_started(stack, THEIRS, Docker20(machine, *flags)))
    return Pair(THEIRS, *hosts)


def _started(stack: ExitStack, name: str, daemon: Daemon) -> Subject:
    machine: Machine = daemon.machine
    machine.path("/etc/resolv.conf").write_text("")
    stack.enter_context(daemon)
    daemon.import_busybox()
    connection = UnixConnection(str(daemon.socket), 60)
    stack.callback(connection.close)
    return Subject(name, machine, daemon, connection)
