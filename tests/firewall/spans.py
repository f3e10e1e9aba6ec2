"""A host that publishes ranges of ports in every manner: what its rules are made of is here whole.

Ranges that touch, one that ends with the last port, single ports beside them; for every
protocol, with and without an address of the host, of both families.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from fairlead.firewall.policy import Habits, Mark
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World
from tests.firewall.pages import network

HABITS = {
    "usual": Habits(),
    "unproxied": Habits(proxied=False),
    "direct": Habits(direct=True),
    "marked": Habits(accepted=Mark(0x10, 0xF0)),
}
HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
"""The address of the host at which some are published."""
ANYWHERE = {4: "0.0.0.0", 6: "::"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
"""The containers."""
PUBLISHED = {
    FIRST: (range(9000, 9003), range(9006, 9007)),
    SECOND: (range(9003, 9006), range(65534, 65536)),
}
PUBLISHED_AT_ADDRESS = {FIRST: (range(9100, 9103),), SECOND: (range(9103, 9105),)}


def _ports(box: str) -> Iterator[Port]:
    for version in (4, 6):
        for protocol in ("tcp", "udp", "sctp"):
            for hosts, spans in ((ANYWHERE, PUBLISHED), (HOST, PUBLISHED_AT_ADDRESS)):
                host = ip_address(hosts[version])
                for number in (number for span in spans[box] for number in span):
                    yield Port(protocol, number, host, number)
        if box == FIRST:
            host = ip_address(LOOPBACK[version])
            yield from (Port("tcp", number, host, number) for number in (9200, 9201))


def world(*boxes: str) -> World:
    """A network of both families, and some of the containers."""
    net = network("cafe", 18, six=True)
    found = World().after(Change(put=(net,)))
    for number, box in enumerate(PUBLISHED):
        if box in boxes:
            addresses = tuple(
                ip_interface(f"{pool.subnet[2 + number]}/{pool.subnet.prefixlen}")
                for pool in net.pools
            )
            gateways = tuple(pool.subnet[1] for pool in net.pools)
            mac, veth = f"02:42:00:00:00:0{2 + number}", f"v{number}"
            end = Endpoint(f"e{box}", net.id, box, veth, "eth0", mac, addresses, gateways)
            place = Sandbox(box, box, box, box, ports=tuple(_ports(box)))
            found = found.after(Change(put=(place, end)))
    return found
