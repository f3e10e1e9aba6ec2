"""Who remembers the last owner of an address is told of the new one, as often as a network says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address, ip_address

import pytest

from tests.docker.lan import Lan
from tests.docker.memory import remember, running
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine
from tests.security.frames import ETH_ARP, ICMP6, Seen
from tests.security.place import of_machine
from tests.security.wire import Wire

pytestmark = pytest.mark.root

COUNT = "com.docker.network.advertise_addr_nmsgs"
PACE = "com.docker.network.advertise_addr_ms"
OLD, NEW = "02:00:00:00:00:01", "02:00:00:00:00:02"
REQUEST, ADVERTISEMENT = 1, 136


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A daemon that is as it was after the test."""
    yield Lan(daemon, neighbour)
    traces.none()


def create(lan: Lan, name: str, number: int, *options: str) -> str:
    """A network of both families on which a second takes a tenth; the name of its bridge."""
    words = [f"--ipv6 --subnet 10.5.{number}.0/24 --subnet fd00:{number}::/64 -o {PACE}=100"]
    lan.create(name, " ".join([*words, *(f"-o {option}" for option in options)]))
    return lan.bridge(name)


def addresses(number: int) -> tuple[str, str]:
    """Those that change hands on a network."""
    return f"10.5.{number}.9", f"fd00:{number}::9"


def announced(seen: Seen) -> str:
    """The address that a frame of the new owner's announces, if it does."""
    body = seen.payload
    if seen.kind == ETH_ARP and body[6:8] == bytes([0, REQUEST]) and body[14:18] == body[24:28]:
        return str(ip_address(body[14:18])) if body[8:14].hex(":") == NEW else ""
    if seen.protocol == ICMP6 and body[0] == ADVERTISEMENT and body[26:32].hex(":") == NEW:
        return str(IPv6Address(body[8:24]))
    return ""


def counted(wire: Wire) -> Counter[str]:
    """How often each address of the new owner's was announced up to now."""
    wire.listen()
    return Counter(filter(None, map(announced, wire.heard)))


def connect(lan: Lan, name: str, number: int) -> None:
    """Gives the container `one` that network's addresses."""
    ip, ip6 = addresses(number)
    settings = {"IPAMConfig": {"IPv4Address": ip, "IPv6Address": ip6}, "MacAddress": NEW}
    body = {"Container": "one", "EndpointConfig": settings}
    assert lan.daemon.api("POST", f"/networks/{name}/connect", body).status == 200


def known(lan: Lan, bridge: str, targets: tuple[str, ...]) -> list[str]:
    """The MACs that a container and the host have for some addresses."""
    found = []
    tables = (
        lan.inside("witness", "ip neigh"),
        lan.host.run(["ip", "neigh", "show", "dev", bridge]).stdout,
    )
    for table in tables:
        rows = {words[0]: words for words in map(str.split, table.splitlines())}
        for target in targets:
            words = rows.get(target, [])
            found.append(words[words.index("lladdr") + 1] if "lladdr" in words else "")
    return found


def test_neighbours_learn_of_a_new_owner(lan: Lan) -> None:
    """Both families, a container and the host: whom they remember, though nobody asks, changes."""
    bridge, mine = create(lan, "red", 5), addresses(5)
    lan.run("witness", "--network red")
    for target in mine:
        remember(lan.host, target, OLD, bridge)
        remember(lan.host, target, OLD, "eth0", running(lan.daemon, "witness"))
    assert known(lan, bridge, mine) == [OLD] * 4
    with Wire(of_machine(lan.host), bridge) as wire:
        lan.run("new", f"--network red --ip {mine[0]} --ip6 {mine[1]} --mac-address {NEW}")
        eventually(lambda: known(lan, bridge, mine) == [NEW] * 4)
        eventually(lambda: counted(wire) == dict.fromkeys(mine, 3))


def test_as_often_as_the_network_says(lan: Lan) -> None:
    """A container that is connected as well; 0 is silence, and whoever left says no more."""
    bridges = [
        create(lan, "never", 6, f"{COUNT}=0"),
        create(lan, "once", 7, f"{COUNT}=1"),
        create(lan, "left", 8),
        create(lan, "all", 9),
    ]
    lan.run("one")
    with ExitStack() as stack:
        place = of_machine(lan.host)
        never, once, left, all_ = (stack.enter_context(Wire(place, name)) for name in bridges)
        connect(lan, "never", 6)
        connect(lan, "once", 7)
        connect(lan, "left", 8)
        eventually(lambda: set(counted(left)) == set(addresses(8)))
        lan.docker("network", "disconnect", "left", "one")
        before = counted(left)
        connect(lan, "all", 9)
        # What were still to come elsewhere would be due before the last word here.
        eventually(lambda: counted(all_) == dict.fromkeys(addresses(9), 3))
        assert counted(never) == {}
        assert counted(once) == dict.fromkeys(addresses(7), 1)
        assert counted(left) == before
