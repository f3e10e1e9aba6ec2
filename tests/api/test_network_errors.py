"""Networks are refused with the status and the words of a real daemon 28.5.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.house import House

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
SUBNET = "172.30.1.0/24"
CONFIG = "invalid network config:\n"
SWARM = "cannot create a swarm scoped network when swarm is not active"
OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"
TAKEN = "Address already in use"


def pool(**config: Any) -> dict[str, Any]:
    """A request with one subnet."""
    return {"IPAM": {"Config": [config]}}


def option(key: str, value: str) -> dict[str, Any]:
    """A request with one driver option."""
    return {"Options": {key: value}}


def unparsable(key: str, text: str, why: str) -> str:
    """What is said of an option that cannot be read."""
    return f"failed to parse {key} value: {text} ({why})"


NOT_BOOL = 'strconv.ParseBool: parsing "foo": invalid syntax'
REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"Name": ""}, 400, "invalid name: name is empty"),
    ({"Name": "  "}, 400, "invalid name: name is empty"),
    *(
        ({"Name": name}, 403, f"operation is not permitted on predefined {name} network ")
        for name in ("bridge", "host", "none", "default")
    ),
    ({"Driver": "nosuch"}, 404, 'plugin "nosuch" not found'),
    ({"Driver": "host"}, 403, 'only one instance of "host" network is allowed'),
    ({"Driver": "null"}, 403, 'only one instance of "null" network is allowed'),
    ({"Scope": "swarm"}, 403, SWARM),
    (pool(Subnet="abc"), 400, CONFIG + "invalid subnet abc: invalid CIDR block notation"),
    (
        pool(Subnet="172.30.1.5/24"),
        400,
        CONFIG + f"invalid subnet 172.30.1.5/24: it should be {SUBNET}",
    ),
    (
        pool(Subnet=SUBNET, Gateway="172.30.2.1"),
        400,
        CONFIG + f"invalid gateway 172.30.2.1: parent subnet {SUBNET} doesn't contain this address",
    ),
    (
        pool(Subnet=SUBNET, Gateway="zz"),
        400,
        CONFIG + "invalid gateway zz: invalid address",
    ),
    (
        pool(Subnet=SUBNET, Gateway="172.30.1.0"),
        500,
        f"failed to allocate gateway (172.30.1.0): {TAKEN}",
    ),
    (
        pool(Subnet=SUBNET, Gateway="172.30.1.255"),
        500,
        f"failed to allocate gateway (172.30.1.255): {TAKEN}",
    ),
    (
        pool(Subnet=SUBNET, IPRange="172.30.2.0/25"),
        400,
        CONFIG + f"invalid ip-range 172.30.2.0/25: parent subnet {SUBNET} doesn't contain ip-range",
    ),
    (
        pool(Subnet=SUBNET, IPRange="172.30.0.0/16"),
        400,
        CONFIG
        + f"invalid ip-range 172.30.0.0/16: CIDR block is bigger than its parent subnet {SUBNET}",
    ),
    (
        pool(Subnet=SUBNET, AuxiliaryAddresses={"a": "10.0.0.1"}),
        400,
        CONFIG
        + f"invalid auxiliary address a: parent subnet {SUBNET} doesn't contain this address",
    ),
    (
        pool(Subnet=SUBNET, Gateway="172.30.1.1", AuxiliaryAddresses={"a": "172.30.1.1"}),
        500,
        f"failed to allocate secondary ip address (a:172.30.1.1): {TAKEN}",
    ),
    (pool(Gateway="172.30.1.1"), 400, CONFIG + "invalid subnet : invalid CIDR block notation"),
    (
        {"IPAM": {"Config": [{"Subnet": SUBNET}, {"Subnet": "172.30.2.0/24"}]}},
        403,
        "bridge driver doesn't support multiple subnets",
    ),
    (pool(Subnet="172.17.0.0/16"), 403, OVERLAP),
    ({"IPAM": {"Driver": "nosuch"}}, 404, 'plugin "nosuch" not found'),
    *(
        ({"Driver": driver, "Options": options}, 500, message)
        for driver, options, message in (
            (
                "macvlan",
                {"macvlan_mode": "zz"},
                "requested macvlan mode 'zz' is not valid, "
                "'bridge' mode is the macvlan driver default",
            ),
            (
                "macvlan",
                {"parent": "nosuch0"},
                "invalid subinterface vlan name nosuch0, example formatting is eth0.10",
            ),
            ("macvlan", {"parent": "lo"}, "loopback interface is not a valid macvlan parent link"),
            (
                "ipvlan",
                {"ipvlan_mode": "zz"},
                "requested ipvlan mode 'zz' is not valid, 'l2' mode is the ipvlan driver default",
            ),
            (
                "ipvlan",
                {"ipvlan_flag": "zz"},
                "requested ipvlan flag 'zz' is not valid, 'bridge' is the ipvlan driver default",
            ),
            ("ipvlan", {"parent": "eth0.9999"}, "vlan id must be between 1-4094, received: 9999"),
        )
    ),
    ({"IPAM": {"Driver": "null"}}, 400, "ipv4 pool is empty"),
    (
        option(MTU, "abc"),
        400,
        unparsable(MTU, "abc", 'strconv.Atoi: parsing "abc": invalid syntax'),
    ),
    (option(MTU, "-1"), 400, "invalid MTU number: -1"),
    (option(MTU, "67"), 500, "invalid argument"),
    (
        option(BRIDGE + "enable_icc", "foo"),
        400,
        unparsable(BRIDGE + "enable_icc", "foo", NOT_BOOL),
    ),
    (
        option(BRIDGE + "host_binding_ipv4", "foo"),
        400,
        unparsable(BRIDGE + "host_binding_ipv4", "foo", "nil ip"),
    ),
    (option(BRIDGE + "name", "a" * 16), 500, "numerical result out of range"),
    (option(BRIDGE + "name", "a/b"), 500, "invalid argument"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_a_network_is_refused_in_dockers_words(
    house: House, body: dict[str, Any], status: int, message: str
) -> None:
    """Programs match the status and the text; nothing is left behind."""
    before = house.ask("GET", "/networks").json
    answer = house.ask("POST", "/v1.50/networks/create", {"Name": "t", **body})
    assert (answer.status, answer.message) == (status, message)
    assert house.ask("GET", "/networks").json == before


@pytest.mark.parametrize(
    "body",
    [
        {"Name": "a b"},
        {"Name": "a/b"},
        {"Name": "ü"},
        {"Name": "-bad"},
        {"Name": "x" * 300},
        {"Scope": "bogus"},
        {"Attachable": True},
        {"Options": {"unknown": "kept"}},
        {"IPAM": {"Options": {"a": "b"}}},
        {"Labels": None, "Options": None, "IPAM": None, "ConfigFrom": None},
        pool(Subnet="172.30.1.0/30"),
        pool(Subnet="172.30.1.0/31"),
        pool(Subnet="172.30.1.0/32"),
        pool(Subnet="127.5.0.0/24"),
        option(BRIDGE + "host_binding_ipv4", "::1"),
        option(BRIDGE + "inhibit_ipv4", "true"),
    ],
)
def test_odd_networks_are_made_all_the_same(house: House, body: dict[str, Any]) -> None:
    """What a real daemon accepts is accepted, found by its name, and goes again."""
    name = body.get("Name", "t")
    made = house.ask("POST", "/networks/create", {"Name": name, **body})
    assert made.status == 201
    assert made.json["Warning"] == ""
    assert house.ask("GET", f"/networks/{name}").json["Id"] == made.json["Id"]
    assert house.ask("DELETE", f"/networks/{name}").status == 204


def test_a_name_is_taken_once(house: House) -> None:
    """Whatever CheckDuplicate says."""
    first = house.ask("POST", "/networks/create", {"Name": "n1", **pool(Subnet=SUBNET)})
    assert first.status == 201
    for more in ({}, {"CheckDuplicate": False}):
        again = house.ask("POST", "/networks/create", {"Name": "n1", **more})
        assert (again.status, again.message) == (409, "network with name n1 already exists")
    over = house.ask("POST", "/networks/create", {"Name": "n2", **pool(Subnet="172.30.1.128/25")})
    assert (over.status, over.message) == (403, OVERLAP)
    assert house.ask("DELETE", f"/networks/{first.json['Id'][:5]}").status == 204


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/networks/nosuch", 404, "network nosuch not found"),
        ("GET", "/networks/bridge?scope=bogus", 404, "network bridge not found"),
        ("DELETE", "/networks/nosuch", 404, "network nosuch not found"),
        (
            "DELETE",
            "/networks/bridge",
            403,
            "bridge is a pre-defined network and cannot be removed",
        ),
    ],
)
def test_what_cannot_be_shown_or_removed(
    house: House, method: str, path: str, status: int, message: str
) -> None:
    """Also in Docker's words."""
    answer = house.ask(method, path)
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(
    ("method", "path", "filters", "status", "message"),
    [
        ("GET", "/networks", '{"foo":["x"]}', 400, "invalid filter 'foo'"),
        ("GET", "/networks", "{", 400, "invalid filter"),
        ("GET", "/networks", '{"type":["bar"]}', 500, "invalid filter: 'type'='bar'"),
        ("POST", "/networks/prune", '{"foo":["x"]}', 400, "invalid filter 'foo'"),
        (
            "POST",
            "/networks/prune",
            '{"until":["bar"]}',
            400,
            'failed to parse value as time or duration: "bar"',
        ),
    ],
)
def test_filters_that_make_no_sense(
    house: House, method: str, path: str, filters: str, status: int, message: str
) -> None:
    """Refused, not ignored."""
    answer = house.ask(method, path, filters=filters)
    assert (answer.status, answer.message) == (status, message)


def test_a_dry_run_tells_and_changes_nothing(house: House) -> None:
    """The plan names the bridge; the list stays as it was."""
    before = house.ask("GET", "/networks").json
    plan = house.ask("POST", "/networks/create", {"Name": "dry"}, dry_run="1")
    assert plan.status == 200
    assert any("bridge" in line for line in plan.json["Plan"])
    assert house.ask("GET", "/networks").json == before
    refused = house.ask("DELETE", "/networks/bridge", dry_run="1")
    assert refused.status == 403


def test_explain_says_what_stands_for_a_network(house: House) -> None:
    """Each object with a reason; who is not there is not found."""
    house.ask("POST", "/networks/create", {"Name": "why"})
    lines = house.ask("GET", "/fairlead/explain/why").json["Lines"]
    assert any("because" in line for line in lines)
    assert house.ask("GET", "/fairlead/explain/nosuch").status == 404
    assert house.ask("POST", "/networks/prune").json == {"NetworksDeleted": ["why"]}
    assert house.ask("POST", "/networks/prune").json == {"NetworksDeleted": None}
