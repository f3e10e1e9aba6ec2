"""The picture of a cluster, to the letter."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.network import Network, Pool, Scope
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World
from fairlead.picture.cluster import Hosts, cluster

ONE, TWO, THREE = (ip_address(f"192.0.2.{number}") for number in (2, 3, 10))
STORE = "etcd://192.0.2.1:2379"


def overlay(
    name: str, number: int, *, vnis: tuple[int, ...] = (), internal: bool = False
) -> Network:
    """An overlay on 10.0.<number>.0/24."""
    pool = Pool(ip_network(f"10.0.{number}.0/24"), ip_address(f"10.0.{number}.1"))
    return Network(
        name * 8, name, "overlay", number, pools=(pool,), scope=Scope.GLOBAL,
        vnis=vnis, internal=internal,
    )  # fmt: skip


def peer(name: str, net: Network, address: str, host: object) -> Peer:
    """Somebody on another host."""
    return Peer(
        f"{name}-id", net.id, ip_address(str(host)), "02:42:00:00:00:01",
        (ip_interface(f"{address}/24"),), name,
    )  # fmt: skip


def world() -> World:
    """Two containers here on ov_net1, three elsewhere; one elsewhere alone on back."""
    front, back = overlay("ov_net1", 0, vnis=(256,)), overlay("back", 1, internal=True)
    ports = (Port("tcp", 80, ip_address("0.0.0.0"), 8080), Port("tcp", 80, ip_address("::"), 8080))
    boxes = [
        Sandbox("s-web", "c-web", "web", "web", ports=ports),
        Sandbox("s-cache", "c-cache", "cache", "cache"),
    ]
    ends = [
        Endpoint("e-web", front.id, "s-web", "veth1", "eth0", "02:42:0a:00:00:02",
                 (ip_interface("10.0.0.2/24"),)),
        Endpoint("e-cache", front.id, "s-cache", "veth2", "eth0", "02:42:0a:00:00:04",
                 (ip_interface("10.0.0.4/24"), ip_interface("fd00::4/64"))),
    ]  # fmt: skip
    peers = [
        peer("logs", front, "10.0.0.10", TWO),
        peer("db", front, "10.0.0.3", TWO),
        peer("queue", front, "10.0.0.5", THREE),
        peer("lonely", back, "10.0.1.2", THREE),
    ]
    return World().after(Change((front, back, *boxes, *ends, *peers)))


def test_the_picture() -> None:
    """Hosts by their numbers, rails with their stops, tunnels where there are any."""
    assert cluster(world(), Hosts(STORE, ONE, (TWO, THREE))) == [
        "etcd://192.0.2.1:2379",
        "  192.0.2.2  this host",
        "  192.0.2.3",
        "  192.0.2.10",
        "",
        "ov_net1 ═ overlay 10.0.0.0/24 gateway 10.0.0.1 VNI 256",
        "  ╠═══ 192.0.2.2  this host",
        "  ║     ├── web    10.0.0.2  ◄── 8080→80/tcp",
        "  ║     └── cache  10.0.0.4 fd00::4",
        "  ╠═))) 192.0.2.3",
        "  ║     ├── db    10.0.0.3",
        "  ║     └── logs  10.0.0.10",
        "  ╚═))) 192.0.2.10",
        "        └── queue  10.0.0.5",
        "",
        "back ═ overlay 10.0.1.0/24 gateway 10.0.1.1 no VNI yet internal",
        "  ╚═··· 192.0.2.10",
        "        └── lonely  10.0.1.2",
    ]


def test_a_store_that_is_away() -> None:
    """It is said where one looks first."""
    assert cluster(World(), Hosts(STORE, ONE, (), "etcd://192.0.2.1:2379 does not answer")) == [
        "etcd://192.0.2.1:2379",
        "  away: etcd://192.0.2.1:2379 does not answer",
        "  192.0.2.2  this host",
    ]
