"""What the dataplane is to serve of a world, and what the kernel is told beside it."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.controller.serving import serving
from fairlead.firewall.backends import BACKENDS, firewall
from fairlead.firewall.policy import policy, published
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.iptables import Chain
from fairlead.model.marks import Marks
from fairlead.model.network import Network, Pool
from fairlead.model.nftables import NftElement
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World


def a_world(protocol: str) -> World:
    """A container with a published port on a bridge."""
    pool = Pool(ip_network("172.20.0.0/16"), ip_address("172.20.0.1"))
    net = Network("a" * 64, "red", "bridge", 1, (pool,))
    ports = (Port(protocol, 80, ip_address("0.0.0.0"), 8080),)
    box = Sandbox("b" * 64, "b" * 64, "web", "bbbbbbbbbbbb", ports=ports)
    addresses = (ip_interface("172.20.0.2/16"),)
    ep = Endpoint(
        "c" * 64, net.id, box.id, "veth1", "eth0", "02:42:ac:14:00:02", addresses,
        (ip_address("172.20.0.1"),),
    )  # fmt: skip
    return World().after(Change(put=(net, box, ep)))


@pytest.mark.parametrize(("protocol", "served"), [("tcp", "tcp"), ("udp", "udp"), ("sctp", "held")])
def test_a_protocol_without_a_proxy_is_only_held(protocol: str, served: str) -> None:
    """Nobody else gets the port; the dataplane refuses no such container."""
    (target,) = serving(a_world(protocol), ()).ports.values()
    assert target.protocol == served


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_of_a_published_sctp_port(backend: str) -> None:
    """Translation and acceptance, in the words that either firewall has for SCTP."""
    world = a_world("sctp")
    walls = firewall(backend, Marks("c0ffee00", "TEST"))
    resources = [*walls.resources(policy(world))]
    for renderer in walls.renderers:
        resources += renderer.of_ports(published(world, world.sandboxes))
    rules = [rule for item in resources if isinstance(item, Chain) for rule in item.rules]
    items = [f"{e.item} : {e.value}" for e in resources if isinstance(e, NftElement)]
    if backend == "iptables":
        assert any("-p sctp -m sctp --dport 8080 -j DNAT" in rule for rule in rules)
        assert any("-p sctp -m sctp --dport 80 -j ACCEPT" in rule for rule in rules)
    else:
        assert any("sctp . 8080 : 172.20.0.2 . 80" in item for item in items)
        assert any("172.20.0.2 . sctp . 80" in item for item in items)
