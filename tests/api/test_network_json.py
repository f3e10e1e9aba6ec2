"""Networks look as those of a real daemon, key by key and in its order."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from fairlead.api.filters import parse
from fairlead.api.network_json import (
    endpoint_request,
    endpoint_settings,
    inspected,
    listed,
    network_json,
)
from fairlead.api.networks import chosen, unused
from fairlead.api.times import moment
from fairlead.api.versions import NEWEST, Version
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World

OBSERVED = Path(__file__).parent / "observed"
SEEN_AT = Version(1, 51)
"""What Docker 28.5.2 speaks, whose answers these are."""


def observed(name: str) -> Any:
    """What a real daemon 28.5.2 answered."""
    return json.loads((OBSERVED / f"{name}.json").read_text())


SEEN = observed("network-inspect-with-container")
CONTAINER = next(iter(SEEN["Containers"]))
WEB = Network(
    id=SEEN["Id"],
    name="web",
    driver="bridge",
    created=moment(SEEN["Created"], 0),
    pools=(
        Pool(
            ip_network("172.31.0.0/16"),
            ip_address("172.31.5.254"),
            ip_network("172.31.5.0/24"),
            {"h1": ip_address("172.31.5.5")},
        ),
        Pool(ip_network("fd00:77::/64")),
    ),
    options={"com.docker.network.driver.mtu": "1400"},
    labels={"a": "b"},
    enable_ipv6=True,
)
APP = Sandbox(id="5" * 64, container=CONTAINER, name="app", hostname="apphost")
PLACE = Endpoint(
    id=SEEN["Containers"][CONTAINER]["EndpointID"],
    network=WEB.id,
    sandbox=APP.id,
    ifname="veth1234567",
    inside="eth0",
    mac="7e:84:fa:75:a8:fc",
    addresses=(ip_interface("172.31.5.9/16"), ip_interface("fd00:77::2/64")),
)
BRIDGE = Network(id="b" * 64, name="bridge", driver="bridge", created=1, predefined=True)
HOST = Network(id="c" * 64, name="host", driver="host", created=1, predefined=True)
WORLD = World().after(Change(put=(BRIDGE, HOST, WEB, APP, PLACE)))


def as_json(value: Any) -> str:
    """With the order of keys, which equality of mappings would not see."""
    return json.dumps(value)


def test_inspect_is_what_a_real_daemon_says() -> None:
    """Same keys, same order, same values."""
    assert as_json(inspected(WORLD, WEB, SEEN_AT)) == as_json(SEEN)


def test_since_1_52_a_network_says_how_full_it_is() -> None:
    """As Docker 29 does, in its order: the addresses used, those left; both end at 64 bits."""
    seen = observed("network-inspect-with-container-1.52")
    pools = (WEB.pools[0], replace(WEB.pools[1], gateway=ip_address("fd00:77::1")))
    shown = inspected(WORLD, replace(WEB, pools=pools), Version(1, 52))
    assert list(shown) == list(seen)
    assert as_json(shown["Status"]) == as_json(seen["Status"])
    assert as_json(shown["IPAM"]) == as_json(seen["IPAM"])
    assert "Containers" not in listed(WORLD, [WEB], Version(1, 52))[0]


def test_a_list_leaves_out_who_is_there() -> None:
    """Since 1.28 one has to inspect; before, lists told."""
    assert as_json(listed(WORLD, [WEB], SEEN_AT)) == as_json(observed("networks-list"))
    assert listed(WORLD, [WEB], Version(1, 27))[0]["Containers"] == SEEN["Containers"]


def test_predefined_networks_have_every_key_too() -> None:
    """`host` has no subnets: null, not an empty list."""
    seen = next(n for n in observed("networks-initial") if n["Name"] == "host")
    shown = network_json(HOST, SEEN_AT)
    assert shown | {"Id": "", "Created": ""} == seen | {"Id": "", "Created": ""}
    assert list(shown) == list(seen)


def test_fields_come_with_their_version() -> None:
    """A client of 1.47 has never heard of EnableIPv4."""
    assert "EnableIPv4" not in network_json(WEB, Version(1, 47))
    assert network_json(WEB, Version(1, 48))["EnableIPv4"] is True
    asked = {"MacAddress": "02:00:00:00:00:01", "GwPriority": 5, "Aliases": ["x"]}
    assert endpoint_settings(asked, NEWEST) == asked
    assert "GwPriority" not in (endpoint_settings(asked, Version(1, 47)) or {})
    assert "MacAddress" not in (endpoint_settings(asked, Version(1, 43)) or {})


def test_settings_reach_the_controller_whole() -> None:
    """Every field of a connect has its place in the request."""
    request = endpoint_request(
        {
            "IPAMConfig": {"IPv4Address": "10.0.0.9", "LinkLocalIPs": ["169.254.1.1"]},
            "Links": ["db:d"],
            "Aliases": ["a"],
            "MacAddress": "02:00:00:00:00:01",
            "DriverOpts": {"k": "v"},
            "GwPriority": 3,
            "EndpointID": "ignored",
        }
    )
    assert (request.ipv4, request.link_local, request.links) == (
        "10.0.0.9",
        ("169.254.1.1",),
        ("db:d",),
    )
    assert (request.aliases, request.options, request.priority) == (("a",), {"k": "v"}, 3)
    assert endpoint_request(None).ipv4 == ""


def names(filters: str) -> set[str]:
    """The networks that a list with these filters shows."""
    return {n.name for n in chosen(WORLD, parse(filters))}


def test_lists_are_filtered_as_docker_filters_them() -> None:
    """Every key of the list, by what it lets through."""
    assert names("") == {"bridge", "host", "web"}
    assert names('{"driver":["host"]}') == {"host"}
    assert names('{"name":["e"]}') == {"bridge", "web"}
    assert names('{"id":["ccc"]}') == {"host"}
    assert names('{"label":["a=b"]}') == {"web"}
    assert names('{"label":["a=c"]}') == set()
    assert names('{"type":["custom"]}') == {"web"}
    assert names('{"type":["builtin"]}') == {"bridge", "host"}
    assert names('{"scope":["swarm"]}') == set()
    assert names('{"dangling":["true"]}') == set()
    assert names('{"dangling":["false"]}') == {"bridge", "host", "web"}


def test_prune_takes_only_what_nobody_uses() -> None:
    """Never a predefined network, never one with somebody on it."""
    assert unused(WORLD, parse(""), now=2**62) == []
    empty = World().after(Change(put=tuple(WORLD.networks.values())))
    assert unused(empty, parse(""), now=2**62) == [WEB]
    assert unused(empty, parse('{"label!":["a"]}'), now=2**62) == []
    assert unused(empty, parse('{"until":["2020-01-01"]}'), now=2**62) == []
    assert unused(empty, parse('{"until":["2030-01-01"]}'), now=2**62) == [WEB]
