"""Rules that come late, go early or are taken away: at no moment is a closed door open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from tests.docker.stage import eventually
from tests.security import frames, probe
from tests.security.place import Place
from tests.security.scene import V4, Family, Scene, restored, state
from tests.security.wire import Wire

pytestmark = pytest.mark.root

COMMAND = {4: "iptables", 6: "ip6tables"}
TABLE = {4: "ip", 6: "ip6"}
FLUSHES = {
    "all": {"iptables": "nft flush ruleset", "nftables": "nft flush ruleset"},
    # DOCKER-USER is the user's: what was in it does not come back by itself.
    "rules": {
        "iptables": "$1 -F; $1 -A DOCKER-USER -j RETURN",
        "nftables": "nft flush table $2 fairlead",
    },
    "tables": {
        "iptables": "for t in filter raw nat; do $1 -t $t -F; $1 -t $t -X; done",
        "nftables": "nft delete table $2 fairlead",
    },
}


@pytest.mark.parametrize("way", FLUSHES)
def test_all_rules_come_back(on: Scene, family: Family, way: str) -> None:
    """After a flush every class of rule is there again, not the published ports alone."""
    on.network("front", family.create)
    on.network("back", family.create)
    on.network("deep", f"--internal {family.create}")
    options = f"--network front -p {family.all_hosts}:8080:80"
    if family.version == 4:
        options += " -p 127.0.0.1:8090:80"
    on.container("web", options, 80, version=family.version)
    on.container("other", "--network back", 80, version=family.version)
    on.container("inner", "--network deep", 80, version=family.version)
    on.servers.add(on.places["neighbour"], 80, version=family.version)
    web, inner = (
        family.of(on.endpoint(n, net)) for n, net in (("web", "front"), ("inner", "deep"))
    )

    def closed() -> list[probe.Question]:
        return [
            probe.Question("neighbour", web, "tcp", 80),
            probe.Question("neighbour", web, "icmp"),
            probe.Question("other", web, "tcp", 80),
            probe.Question("other", inner, "udp", 80),
            probe.Question("inner", web, "udp", 80),
        ]

    opened = [
        probe.Question("neighbour", family.host, "tcp", 8080),
        probe.Question("web", family.neighbour, "tcp", 80),
    ]

    def as_it_should() -> None:
        said = probe.ask(on.places, [*closed(), *opened], lambda q: q in opened)
        assert {q for q, answer in said.items() if answer} == set(opened)
        assert said[opened[0]] == f"web:80 {family.neighbour}"
        assert said[opened[1]] == f"neighbour:80 {family.host}"

    before = state(on.host)
    with on.routed(on.neighbour, web, family.host):
        as_it_should()
        flush = FLUSHES[way][on.backend].replace("$1", COMMAND[family.version])
        flush = flush.replace("$2", TABLE[family.version])
        on.host.shell(f"set +e; {flush}; true")
        on.daemon.restart()
        restored(on.host, before)
        as_it_should()
        if family.version == 4:
            _loopback_is_closed(on)


def _loopback_is_closed(on: Scene) -> None:
    with Wire(on.places["neighbour"]) as wire:
        mac = on.places["host"].mac("eth0")
        source = ip_address(on.neighbour.address)

        def attack() -> None:
            wire.send_ip(mac, frames.tcp(source, ip_address("127.0.0.1"), (1111, 8090)))
            wire.send_ip(mac, frames.ping(source, on.host.address))

        wire.until(lambda s: s.source == on.host.address and s.protocol == frames.ICMP, attack)
        assert [s for s in wire.heard if s.protocol == frames.TCP] == []


@contextmanager
def flood(
    place: Place, send: Callable[[socket.socket], object], pause_seconds: float = 0.001
) -> Iterator[list[int]]:
    """Sends without an end, from a place, and counts."""
    stop = threading.Event()
    count = [0]

    def run() -> None:
        with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            while not stop.wait(pause_seconds):
                # Nobody is there at the moment, which a flood does not mind.
                with suppress(OSError):
                    send(sock)
                count[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


def _more(count: list[int], by: int) -> None:
    """Waits until a flood has gone on for a while."""
    aim = count[0] + by
    eventually(lambda: count[0] >= aim)


def test_nobody_is_open_while_he_starts(on: Scene) -> None:
    """Packets that were on their way before a container was there find it closed all the same."""
    on.network("front", "--subnet 10.9.0.0/24")
    on.network("back", "--subnet 10.10.0.0/24")
    on.container("other", "--network back")
    target = IPv4Address("10.9.0.2")

    def shoot(sock: socket.socket) -> None:
        for port in (80, 81):
            sock.sendto(b"attack", (str(target), port))

    with on.routed(on.neighbour, target, on.host.address):
        for _ in range(6):
            with (
                flood(on.places["neighbour"], shoot) as from_outside,
                flood(on.places["other"], shoot) as from_another,
            ):
                options = f"--network front --ip {target} -p 8080:80/udp"
                on.daemon.docker(
                    "run", "-d", "--name", "web", *options.split(), "busybox",
                    "sh", "-c", "nc -u -l -p 81 & nc -u -l -p 80 & sleep 1000000",
                )  # fmt: skip
                web = on.serve("web")
                _more(from_outside, 50)
                _more(from_another, 50)
                counters = web.there(_udp_arrivals)
            assert counters == 0
            on.gone("web")
            on.daemon.docker("rm", "-f", "web")


def _udp_arrivals() -> int:
    """Datagrams that ever reached a namespace, with somebody there or not."""
    rows = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
    names, values = (row for row in rows if row[0] == "Udp:")
    found = dict(zip(names[1:], map(int, values[1:]), strict=True))
    return found["InDatagrams"] + found["NoPorts"]


def test_the_count_of_arrivals_counts(on: Scene) -> None:
    """What is sent to a container by one who may is counted: the test above can fail."""
    on.network("front")
    web = on.container("web", "--network front")
    target = on.endpoint("web", "front")["IPAddress"]
    with on.places["host"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in (80, 81):
            sock.sendto(b"?", (target, port))
    eventually(lambda: web.there(_udp_arrivals) == 2)


def test_no_moment_is_open_while_rules_change(on: Scene) -> None:
    """While networks, ports and the daemon come and go, what is forbidden stays so throughout."""
    on.network("front")
    on.network("back")
    web = on.container("web", "--network front -p 8080:80 -p 127.0.0.1:8090:80/udp", 80)
    on.container("other", "--network back")
    target = on.endpoint("web", "front")["IPAddress"]

    def shoot(sock: socket.socket) -> None:
        sock.sendto(b"attack", (target, 7777))

    def from_host() -> None:
        with on.places["host"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"known", (target, 7777))

    damage = {
        "iptables": "iptables -D FORWARD -j DOCKER-FORWARD",
        "nftables": "nft delete element ip fairlead m_from '{ \"'$(nft list map ip fairlead m_from |"
        " grep -o 'br-[0-9a-f]*' | head -1)'\" }' || true",
    }[on.backend]
    changes: list[Callable[[], object]] = [
        lambda: on.daemon.docker("network", "create", "third"),
        lambda: on.daemon.docker("run", "-d", "--name", "third", "--network", "third", "-p", "9090:80",
                                 "busybox", "sleep", "1000000"),
        lambda: on.daemon.docker("network", "connect", "front", "third"),
        on.daemon.restart,
        lambda: on.host.shell(damage),
        on.daemon.restart,
        lambda: on.daemon.docker("network", "disconnect", "third", "third"),
        on.daemon.kill9,
        on.daemon.start,
        lambda: on.daemon.docker("rm", "-f", "third"),
        lambda: on.daemon.docker("network", "rm", "third"),
    ]  # fmt: skip
    place = ip_address(target)
    with (
        on.routed(on.neighbour, place, on.host.address),
        flood(on.places["neighbour"], shoot) as outside,
        flood(on.places["other"], shoot) as inside,
        Wire(web) as wire,
    ):
        for change in changes:
            change()
            _more(outside, 20)
            _more(inside, 20)
        wire.until(lambda s: s.payload.startswith(b"known"), from_host)
        assert [s for s in wire.heard if s.payload.startswith(b"attack")] == []
    assert min(outside[0], inside[0]) > 200


def test_the_probe_sees_an_open_moment(on: Scene) -> None:
    """A door open for a blink is seen: the test above can fail."""
    on.network("front")
    web = on.container("web", "--network front")
    on.network("back")
    on.container("other", "--network back")
    target = on.endpoint("web", "front")["IPAddress"]

    def shoot(sock: socket.socket) -> None:
        sock.sendto(b"attack", (target, 7777))

    def seen(wire: Wire) -> bool:
        with on.opened(V4, "forward"):
            pass
        wire.listen()
        return any(s.payload.startswith(b"attack") for s in wire.heard)

    with flood(on.places["other"], shoot), Wire(web) as wire:
        eventually(lambda: seen(wire))
