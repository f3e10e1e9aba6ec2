"""Through which of its networks a sandbox reaches the world."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World

FOUR, SIX = ip_address("10.0.0.1"), ip_address("fd00::1")


def world(*places: tuple[str, str, int, bool]) -> World:
    """A sandbox on networks: name, families, priority, whether internal."""
    things: list[Network | Sandbox | Endpoint] = [Sandbox("box", "c", "app", "app")]
    for name, families, priority, internal in places:
        gateways = tuple(g for g, f in ((FOUR, "4"), (SIX, "6")) if f in families)
        addresses = tuple(ip_interface(f"{g}/24") for g in gateways)
        things.append(Network(name, name, "bridge", 0, internal=internal))
        made = Endpoint(f"e-{name}", name, "box", "", "eth0", "", addresses, gateways)
        things.append(replace(made, priority=priority))
    return World().after(Change(put=tuple(things)))


def leads(found: World, version: int = 4) -> str:
    """The network that leads out; "" for none."""
    way = found.gateway("box", version)
    return way.network if way else ""


def test_priority_then_families_then_the_name() -> None:
    """Whoever has the highest priority; else who speaks both families; else the first by name."""
    assert leads(world(("a", "46", 0, False), ("z", "4", 1, False))) == "z"
    assert leads(world(("a", "46", 0, False), ("z", "4", -1, False))) == "a"
    assert leads(world(("a", "4", 0, False), ("z", "46", 0, False))) == "z"
    assert leads(world(("b", "4", 0, False), ("a", "4", 0, False))) == "a"


def test_each_family_has_its_own() -> None:
    """A network that leads out by IPv6 alone leaves IPv4 to the others."""
    found = world(("a", "6", 9, False), ("z", "4", 0, False))
    assert (leads(found, 4), leads(found, 6)) == ("z", "a")


def test_internal_networks_lead_nowhere() -> None:
    """Whatever priority they have."""
    assert leads(world(("a", "46", 9, True), ("z", "4", 0, False))) == "z"
    assert leads(world(("a", "46", 9, True))) == ""
