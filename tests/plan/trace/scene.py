"""A host with two networks and three containers, and what the kernel would tell of packets."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.network import Network, Pool
from fairlead.model.nftables import NftChain, NftTable
from fairlead.model.packet import PROBE_TABLE, Flow, Sight, Verdict
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import state
from fairlead.model.world import Change, World
from fairlead.plan.trace.rulebook import Rulebook

FRONT = Network(
    "f" * 64, "front", "bridge", 1, (Pool(ip_network("10.1.0.0/24"), ip_address("10.1.0.1")),)
)
BACK = Network(
    "b" * 64, "back", "bridge", 2, (Pool(ip_network("10.2.0.0/24"), ip_address("10.2.0.1")),)
)
EVERYWHERE, LOOPBACK = ip_address("0.0.0.0"), ip_address("127.0.0.1")
WEB = Sandbox(
    "1" * 64,
    "c1" * 32,
    "web",
    "web",
    ports=(Port("tcp", 80, EVERYWHERE, 8080), Port("udp", 53, LOOPBACK, 8053)),
)
DB = Sandbox("2" * 64, "c2" * 32, "db", "db")
BOTH = Sandbox("3" * 64, "c3" * 32, "both", "both")


def end(name: str, net: Network, box: Sandbox, address: str, order: int = 0) -> Endpoint:
    """A place on a network."""
    gateways = tuple(pool.gateway for pool in net.pools if pool.gateway is not None)
    return Endpoint(
        name,
        net.id,
        box.id,
        f"veth{name}",
        f"eth{order}",
        "02:00:00:00:00:01",
        (ip_interface(f"{address}/24"),),
        gateways,
        order=order,
    )


WORLD = World().after(
    Change(
        put=(
            FRONT,
            BACK,
            WEB,
            DB,
            BOTH,
            end("e1", FRONT, WEB, "10.1.0.2"),
            end("e2", BACK, DB, "10.2.0.2"),
            end("e3", FRONT, BOTH, "10.1.0.3"),
            end("e4", BACK, BOTH, "10.2.0.3", order=1),
        )
    )
)
CLOSED = "-o br-b -j DROP"
LISTED = "c_callers_111111111111_abcdef01"
WANT = state(
    [
        Chain("ip", "filter", "DOCKER-USER", ("-j RETURN",), theirs=True),
        Chain("ip", "filter", "DOCKER-ISOLATION-STAGE-2", (CLOSED, "-j RETURN")),
        Rule("ip", "filter", "FORWARD", "-j DOCKER-FORWARD", 3),
        Policy("ip", "filter", "FORWARD", "DROP"),
        NftTable("inet", "fairlead", "fairlead:c0ffee00"),
        NftChain("inet", "fairlead", LISTED, ("ip saddr 203.0.113.0/24 accept", "drop")),
    ]
)
RULES = Rulebook(WORLD, WANT, {})
FLOW = Flow("tcp", ip_address("192.0.2.7"), ip_address("192.0.2.1"), 8080, 40000)
LED = Flow("tcp", ip_address("192.0.2.7"), ip_address("10.1.0.2"), 80, 40000)


def sight(where: str, rule: str = "", verdict: str = "accept", **more: object) -> Sight:
    """What the kernel tells at a rule of ``family table chain``, or (without one) at its end."""
    family, table, chain = where.split()
    told = {"handle": 7 if rule else 0, **more}
    return Sight(1, family, table, chain, Verdict(verdict), rule=rule, **told)  # type: ignore[arg-type]


BEGUN = sight(f"inet {PROBE_TABLE} c_begin", "x", "continue", came_by="eth0", flow=FLOW)
LEFT = sight(f"inet {PROBE_TABLE} c_leaving", came_by="eth0", goes_by="br-f", flow=LED)
HEARD = sight(f"inet {PROBE_TABLE} c_delivered", came_by="eth0", flow=FLOW)
