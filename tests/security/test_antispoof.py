"""The guard against forged addresses: who it stops, and that it stops nobody else.

Without it a container with NET_RAW can claim a neighbour's address on its own network, as with
Docker; each attack here is first made with success.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import pytest

from tests.docker.stage import eventually
from tests.security import frames, probe
from tests.security.scene import Scene
from tests.security.wire import Wire

pytestmark = pytest.mark.root

NAMES = ("attacker", "server", "client")


def neighbours(on: Scene, name: str) -> dict[str, str]:
    """Whom a container believes to be where."""
    said = on.host.run(
        ["nsenter", f"--net=/proc/{pid(on, name)}/ns/net", "ip", "neigh", "show"]
    ).stdout
    rows = [line.split() for line in said.splitlines() if " lladdr " in line]
    return {row[0]: row[row.index("lladdr") + 1] for row in rows}


def pid(on: Scene, name: str) -> int:
    """A container's process as the host counts."""
    return int(on.daemon.api("GET", f"/containers/{name}/json").json["State"]["Pid"])


@pytest.mark.parametrize("guarded", [False, True], ids=["open", "guarded"])
def test_the_guard(on: Scene, *, guarded: bool) -> None:
    """With it claims, forged sources and advertisements go nowhere, and everybody talks on."""
    on.network("front", f"--ipv6 -o fairlead.antispoof={str(guarded).lower()}")
    for name in NAMES:
        on.container(name, "--network front", 80)
        on.servers.add(on.places[name], 80, version=6)
    own, server, client = (on.endpoint(name, "front") for name in NAMES)
    four = ip_address(server["IPAddress"])
    six = ip_address(server["GlobalIPv6Address"])
    with Wire(on.places["attacker"]) as wire, Wire(on.places["client"]) as heard:
        theirs = bytes.fromhex(client["MacAddress"].replace(":", ""))

        def claim() -> None:
            """The attacker is the server, by ARP and by neighbour discovery."""
            target = (theirs, ip_address(client["IPAddress"]))
            arp = frames.arp(2, (wire.mac, four), target)
            wire.send(frames.ethernet(theirs, wire.mac, frames.ETH_ARP, arp))
            to = ip_address(client["GlobalIPv6Address"])
            wire.send_ip(theirs, frames.neighbour_advertisement(six, to, wire.mac))

        def forge() -> None:
            """The server speaks, says the attacker; and so does another machine."""
            to = ip_address(client["IPAddress"])
            wire.send_ip(theirs, frames.udp(four, to, (6666, 80)))
            source = ip_address(own["IPAddress"])
            wire.send_ip(theirs, frames.udp(source, to, (6667, 80)), b"\x02\x66" + b"\0" * 4)

        def advertise() -> None:
            group = frames.multicast_mac(frames.ALL_NODES)
            prefix = IPv6Address("2001:db8:bad::")
            router = ip_address("fe80::bad")
            wire.send_ip(group, frames.router_advertisement(router, wire.mac, prefix))

        def barrier() -> None:
            to = ip_address(client["IPAddress"])
            wire.send_ip(theirs, frames.udp(ip_address(own["IPAddress"]), to, (7777, 80)))

        def arrives(attack: Callable[[], None], *marks: int) -> bool:
            heard.listen()
            heard.heard.clear()
            for _ in range(3):
                attack()
            heard.until(lambda s: s.ports[0] == 7777, barrier)
            return any(s.ports[0] in marks or b"\x20\x01\x0d\xb8\x0b\xad" in s.payload
                       for s in heard.heard)  # fmt: skip

        def talk() -> None:
            for target in (four, six):
                assert probe.one(on.places["client"], target, "tcp", 80).startswith("server:80")

        talk()
        truth = server["MacAddress"]
        lie = own["MacAddress"]

        def deceived() -> bool:
            claim()
            found = neighbours(on, "client")
            return lie in (found.get(str(four)), found.get(str(six)))

        if guarded:
            assert not any(deceived() for _ in range(20))
            found = neighbours(on, "client")
            assert found[str(four)] == found[str(six)] == truth
        else:
            eventually(deceived)
        assert arrives(forge, 6666, 6667) != guarded
        assert arrives(advertise) != guarded
        if guarded:
            talk()
            said = probe.one(on.places["server"], on.neighbour.address, "icmp")
            assert said.startswith("echo")


def test_the_guard_goes_with_the_network(on: Scene) -> None:
    """Its table stands while a network has it, and answers to explain."""
    on.network("front", "-o fairlead.antispoof=true")
    on.container("attacker", "--network front", 80)
    said = on.daemon.fairlead("explain", "attacker").stdout
    assert "the container has that Ethernet address" in said
    assert "table bridge" in on.host.shell("nft list tables").stdout
    on.daemon.docker("rm", "-f", "attacker")
    on.daemon.docker("network", "rm", "front")
    assert "table bridge" not in on.host.shell("nft list tables").stdout
