"""Encrypted overlays on the hosts of a cluster: closed from the first container on."""

from __future__ import annotations

import pytest

from fairlead.controller import want
from fairlead.kernel.encryption import CannotEncrypt
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.network import NetworkRequest
from fairlead.model.nftables import NftElement
from fairlead.model.state import Rank, State, Veth
from fairlead.model.tunnel import Vxlan
from fairlead.model.xfrm import XfrmBlock
from tests.controller.cluster import Cluster, Host, eventually


def elements(host: Host, name: str) -> set[str]:
    """What is in a set of the table that judges tunnels."""
    found: State = host.machine.kernel.state
    return {r.item for r in found.values() if isinstance(r, NftElement) and r.set == name}


async def test_an_encrypted_network_is_closed(cluster: Cluster) -> None:
    """Its VNI is one of which nothing may be in the clear; what is around a packet is larger.

    Beside it a network that is not encrypted is as ever.
    """
    one, two = cluster.a, cluster.b
    secret = NetworkRequest("secret", "overlay", options={"encrypted": ""})
    await one.machine.controller.create_network(secret)
    await one.machine.controller.create_network(NetworkRequest("open", "overlay"))
    await eventually(lambda: two.knows("open") and two.knows("secret"))
    before = dict(one.machine.kernel.state)

    boxes = [await one.run("one", "secret"), await one.run("three", "open")]
    # Nobody else is there yet, and it is closed.
    assert elements(one, "s_sealed") == {"0x100"}
    assert elements(one, "s_vnis") == {"0x100", "0x101"}
    assert ("xfrm-block", "4") in one.machine.kernel.state

    await two.run("two", "secret", "open")
    await eventually(lambda: len(elements(one, "m_hosts_ipv4")) == 2)
    assert elements(one, "m_hosts_ipv4") == {"0x100 . 192.0.2.12", "0x101 . 192.0.2.12"}
    assert elements(two, "s_sealed") == {"0x100"}
    for host in (one, two):
        state = host.machine.kernel.state.values()
        tunnels = {r.vni: (r.mtu, r.port) for r in state if isinstance(r, Vxlan)}
        # IPsec tells by the port alone what it has to keep closed.
        assert tunnels == {256: (1416, 4799), 257: (1450, 4789)}
        assert {r.mtu for r in state if isinstance(r, Veth) and r.namespace} == {1416, 1450}
        await host.is_right()

    for box in boxes:
        await one.machine.controller.close_sandbox(box.id)
    await one.is_right()
    left = {key for key in one.machine.kernel.state if key not in before}
    assert not [key for key in left if key[0] in ("nft-element", "xfrm-block", "xfrm-demand")]


async def test_a_host_that_cannot_encrypt_refuses(cluster: Cluster) -> None:
    """To make such a network, and to put anybody on one that another host has made."""
    one, two = cluster.a, cluster.b
    two.machine.kernel.encrypts = {6}
    secret = NetworkRequest("secret", "overlay", options={"encrypted": "true"})
    with pytest.raises(CannotEncrypt, match="CONFIG_INET_ESP"):
        await two.machine.controller.create_network(secret)
    await one.machine.controller.create_network(secret)
    await one.machine.controller.create_network(NetworkRequest("open", "overlay"))
    await eventually(lambda: two.knows("open") and two.knows("secret"))
    with pytest.raises(CannotEncrypt, match="CONFIG_INET_ESP"):
        await two.run("two", "open", "secret")
    box = await two.run("two", "open")
    with pytest.raises(CannotEncrypt, match="CONFIG_INET_ESP"):
        await two.machine.controller.join(box.id, "secret", EndpointRequest())
    await two.is_right()


async def test_without_a_firewall_it_is_closed_all_the_same(cluster: Cluster) -> None:
    """Who wants no rules of ours wants none for the networks that are not encrypted."""
    machine = cluster.a.machine
    secret = NetworkRequest("secret", "overlay", options={"encrypted": ""})
    await machine.controller.create_network(secret)
    await machine.controller.create_network(NetworkRequest("open", "overlay"))
    await cluster.a.run("one", "secret", "open")
    host = want.Host(firewall=False, underlay=machine.underlay)
    claims = list(want.claims(machine.controller.world, machine.walls, host))
    found, _ = want.states(claims)
    elements_ = [r for r in found.values() if isinstance(r, NftElement)]
    assert {r.item for r in elements_ if r.set in ("s_vnis", "s_sealed")} == {"0x100"}
    assert ("nft", "inet", machine.walls.marks.table) in found
    assert ("xfrm-block", "4") in found
    assert ("xfrm-demand", "4") in found


def test_the_refusal_is_there_before_a_link() -> None:
    """No packet can leave earlier."""
    assert XfrmBlock.RANK < Rank.LINK
