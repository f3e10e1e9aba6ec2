"""What a real daemon (28.5.2) answers to requests about networks, as it was seen to.

Each row is a label, a request and the answer: status and, unless it went well, the message,
with `<ID>` for what differs from run to run. `n1` has the subnet 172.30.1.0/24 and holds the
container `c1`; `d1` is on the default bridge, `h1` on the host, `z1` on none, `k1` shares c1's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Body = dict[str, Any] | bytes | None


@dataclass(frozen=True, slots=True)
class Row:
    """A request and its answer."""

    label: str
    method: str
    path: str
    body: Body
    status: int
    message: str = ""

    def __str__(self) -> str:
        return self.label


def filters(text: str) -> str:
    """A query with filters as they are."""
    return "filters=" + text.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")


LOOK = (
    Row("inspect unknown", "GET", "/networks/nosuch", None, 404, "network nosuch not found"),
    Row(
        "inspect scope bogus",
        "GET",
        "/networks/bridge?scope=bogus",
        None,
        404,
        "network bridge not found",
    ),
    Row("rm unknown", "DELETE", "/networks/nosuch", None, 404, "network nosuch not found"),
    *(
        Row(
            f"rm {name}",
            "DELETE",
            f"/networks/{name}",
            None,
            403,
            f"{name} is a pre-defined network and cannot be removed",
        )
        for name in ("bridge", "host", "none")
    ),
    Row(
        "rm active",
        "DELETE",
        "/networks/n1",
        None,
        403,
        'error while removing network: network n1 has active endpoints (name:"c1" id:"<ID>")',
    ),
    Row(
        "ls bad filter",
        "GET",
        "/networks?" + filters('{"foo":["bar"]}'),
        None,
        400,
        "invalid filter 'foo'",
    ),
    Row("ls bad json", "GET", "/networks?" + filters("{foo"), None, 400, "invalid filter"),
    Row(
        "ls type bogus",
        "GET",
        "/networks?" + filters('{"type":["bar"]}'),
        None,
        500,
        "invalid filter: 'type'='bar'",
    ),
    Row(
        "ls dangling bogus",
        "GET",
        "/networks?" + filters('{"dangling":["bar"]}'),
        None,
        400,
        'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")',
    ),
    Row("ls scope bogus", "GET", "/networks?" + filters('{"scope":["bar"]}'), None, 200),
    Row(
        "prune bad filter",
        "POST",
        "/networks/prune?" + filters('{"foo":["bar"]}'),
        None,
        400,
        "invalid filter 'foo'",
    ),
    Row(
        "prune bad until",
        "POST",
        "/networks/prune?" + filters('{"until":["bar"]}'),
        None,
        400,
        'failed to parse value as time or duration: "bar"',
    ),
)

SHARED = (
    "container sharing network namespace with another container or host"
    " cannot be connected to any other network"
)
PRIVATE = (
    "container cannot be connected to multiple networks"
    " with one of the networks in private (none) mode"
)
ENDPOINT = "invalid endpoint settings:\n"
OWN_SUBNET = (
    "user specified IP address is supported only when connecting to networks"
    " with user configured subnets"
)
IN_USE = "Address already in use"


def connect(
    label: str, network: str, container: str, status: int, message: str = "", **settings: Any
) -> Row:
    """A row that connects a container."""
    body = {"Container": container, "EndpointConfig": settings or None}
    return Row(label, "POST", f"/networks/{network}/connect", body, status, message)


def address(text: str) -> dict[str, Any]:
    """Settings with an address of choice."""
    return {"IPAMConfig": {"IPv4Address": text}}


CONNECT = (
    connect("unknown net", "nosuch", "d1", 404, "network nosuch not found"),
    connect("unknown ctr", "n1", "nosuch", 404, "No such container: nosuch"),
    connect("empty ctr", "n1", "", 400, 'invalid name or ID supplied: ""'),
    connect(
        "already connected",
        "n1",
        "c1",
        403,
        "endpoint with name c1 already exists in network n1",
    ),
    connect(
        "host net",
        "host",
        "d1",
        400,
        "cannot connect container to host network - container must be created in host network mode",
    ),
    connect("none net", "none", "d1", 400, PRIVATE),
    connect("host-mode ctr", "n1", "h1", 400, SHARED),
    connect("none-mode ctr", "n1", "z1", 400, PRIVATE),
    connect("container-mode ctr", "n1", "k1", 400, SHARED),
    connect(
        "ip outside subnet",
        "n1",
        "d1",
        400,
        ENDPOINT + "no configured subnet or ip-range contain the IP address 10.9.9.9",
        **address("10.9.9.9"),
    ),
    connect(
        "ip bad",
        "n1",
        "d1",
        400,
        ENDPOINT + "* invalid IPv4 address: zz\n"
        "* no configured subnet or ip-range contain the IP address zz",
        **address("zz"),
    ),
    *(
        connect(f"ip = {what}", "n1", "d1", 403, IN_USE, **address(text))
        for what, text in (
            ("in use", "172.30.1.2"),
            ("gateway", "172.30.1.1"),
            ("network", "172.30.1.0"),
            ("broadcast", "172.30.1.255"),
        )
    ),
    connect("mac bad", "n1", "d1", 400, "invalid MAC address zz", MacAddress="zz"),
    connect(
        "linklocal bad",
        "n1",
        "d1",
        400,
        ENDPOINT + "invalid link-local IP address: zz",
        IPAMConfig={"LinkLocalIPs": ["zz"]},
    ),
    connect("link to missing", "n1", "d1", 200, Links=["nosuch:x"]),
    connect(
        "static ip on default bridge",
        "bridge",
        "c1",
        400,
        ENDPOINT + "* user specified IP address is supported on user defined networks only\n"
        f"* {OWN_SUBNET}",
        **address("172.17.0.99"),
    ),
    connect(
        "alias on default bridge",
        "bridge",
        "c1",
        400,
        ENDPOINT + "network-scoped alias is supported only for containers in user defined networks",
        Aliases=["nick"],
    ),
    connect(
        "static ip on auto-subnet net",
        "auto",
        "d1",
        400,
        ENDPOINT + OWN_SUBNET,
        **address("172.18.0.99"),
    ),
    connect(
        "bad endpoint sysctl",
        "n1",
        "d1",
        400,
        ENDPOINT + "unrecognised network interface sysctl 'foo'; represent"
        " 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
        DriverOpts={"com.docker.network.endpoint.sysctls": "foo"},
    ),
    connect(
        "ifname opt",
        "n1",
        "d1",
        200,
        DriverOpts={"com.docker.network.endpoint.ifname": "lan7"},
    ),
)


def disconnect(
    label: str, network: str, container: str, status: int, message: str = "", force: bool = False
) -> Row:
    """A row that disconnects a container."""
    body = {"Container": container, "Force": force}
    return Row(label, "POST", f"/networks/{network}/disconnect", body, status, message)


NOT_CONNECTED = "container <ID> is not connected to network n1"

DISCONNECT = (
    disconnect("unknown net", "nosuch", "c1", 404, "network nosuch not found"),
    disconnect("unknown ctr", "n1", "nosuch", 404, "No such container: nosuch"),
    disconnect("not connected", "n1", "d1", 500, NOT_CONNECTED),
    disconnect(
        "host",
        "host",
        "h1",
        400,
        "cannot disconnect container from host network"
        " - container was created in host network mode",
    ),
    disconnect("container-mode", "n1", "k1", 500, NOT_CONNECTED),
    disconnect("none", "none", "z1", 200),
    disconnect("ok", "n1", "c1", 200),
    disconnect("force unknown ctr", "n1", "nosuch", 404, "endpoint nosuch not found", force=True),
)
