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


BRIDGE = "com.docker.network.bridge."
DRIVER = "com.docker.network.driver."
FREE = "172.30.2.0/24"
CONFIG = "invalid network config:\n"
OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"
BOOL = 'strconv.ParseBool: parsing "foo": invalid syntax'
SWARM = (
    "This node is not a swarm manager. Use "
    '"docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
)


def pool(**config: Any) -> dict[str, Any]:
    """A request for one subnet."""
    return {"IPAM": {"Config": [config]}}


def option(key: str, value: str) -> dict[str, Any]:
    """A request with one driver option."""
    return {"Options": {key: value}}


def created(label: str, status: int, message: str = "", **body: Any) -> Row:
    """A row that creates a network, which is named `new` unless the request says otherwise."""
    return Row(label, "POST", "/networks/create", {"Name": "new", **body}, status, message)


CREATE = (
    created("no name", 400, "invalid name: name is empty", Name=""),
    Row("empty body", "POST", "/networks/create", {}, 400, "invalid name: name is empty"),
    created("blank name", 400, "invalid name: name is empty", Name=" "),
    *(
        created(
            f"reserved name {name}",
            403,
            f"operation is not permitted on predefined {name} network ",
            Name=name,
        )
        for name in ("bridge", "host", "none", "default")
    ),
    *(
        created(f"name {name}", 201, Name=name)
        for name in ("nat", "container:x", "-bad", "a b", "a/b", "ü", "aaaaaaaaaaaa")
    ),
    created("unknown driver", 404, 'plugin "nosuch" not found', Driver="nosuch"),
    created("driver host", 403, 'only one instance of "host" network is allowed', Driver="host"),
    created("driver null", 403, 'only one instance of "null" network is allowed', Driver="null"),
    created("overlay no swarm", 403, SWARM, Driver="overlay"),
    created(
        "scope swarm no swarm",
        403,
        "cannot create a swarm scoped network when swarm is not active",
        Scope="swarm",
    ),
    created("scope bogus", 201, Scope="bogus"),
    created("ingress no swarm", 403, SWARM, Driver="overlay", Ingress=True),
    created("attachable bridge", 201, Attachable=True),
    created(
        "bad subnet",
        400,
        CONFIG + "invalid subnet abc: invalid CIDR block notation",
        **pool(Subnet="abc"),
    ),
    created(
        "host bits set",
        400,
        CONFIG + "invalid subnet 172.30.2.5/24: it should be 172.30.2.0/24",
        **pool(Subnet="172.30.2.5/24"),
    ),
    created(
        "gateway outside",
        400,
        CONFIG + f"invalid gateway 172.30.3.1: parent subnet {FREE} doesn't contain this address",
        **pool(Subnet=FREE, Gateway="172.30.3.1"),
    ),
    created(
        "gateway bad",
        400,
        CONFIG + "invalid gateway zz: invalid address",
        **pool(Subnet=FREE, Gateway="zz"),
    ),
    *(
        created(
            f"gateway = {what}",
            500,
            f"failed to allocate gateway ({address}): Address already in use",
            **pool(Subnet=FREE, Gateway=address),
        )
        for what, address in (("network address", "172.30.2.0"), ("broadcast", "172.30.2.255"))
    ),
    created(
        "ip-range outside",
        400,
        CONFIG + f"invalid ip-range 172.30.3.0/25: parent subnet {FREE} doesn't contain ip-range",
        **pool(Subnet=FREE, IPRange="172.30.3.0/25"),
    ),
    created(
        "ip-range bigger",
        400,
        CONFIG + f"invalid ip-range 172.30.0.0/16: CIDR block is bigger than its parent subnet"
        f" {FREE}",
        **pool(Subnet=FREE, IPRange="172.30.0.0/16"),
    ),
    created(
        "ip-range bad",
        400,
        CONFIG + "invalid ip-range q: invalid CIDR block notation",
        **pool(Subnet=FREE, IPRange="q"),
    ),
    created(
        "aux outside",
        400,
        CONFIG + f"invalid auxiliary address a: parent subnet {FREE} doesn't contain this address",
        **pool(Subnet=FREE, AuxiliaryAddresses={"a": "10.0.0.1"}),
    ),
    created(
        "aux = gateway",
        500,
        "failed to allocate secondary ip address (a:172.30.2.1): Address already in use",
        **pool(Subnet=FREE, AuxiliaryAddresses={"a": "172.30.2.1"}, Gateway="172.30.2.1"),
    ),
    created(
        "range without subnet",
        400,
        CONFIG + "invalid subnet : invalid CIDR block notation",
        **pool(IPRange=FREE),
    ),
    created(
        "gateway without subnet",
        400,
        CONFIG + "invalid subnet : invalid CIDR block notation",
        **pool(Gateway="172.30.2.1"),
    ),
    created(
        "two v4 subnets on bridge",
        403,
        "bridge driver doesn't support multiple subnets",
        IPAM={"Config": [{"Subnet": FREE}, {"Subnet": "172.30.3.0/24"}]},
    ),
    created("EnableIPv4 false only", 400, "IPv4 or IPv6 must be enabled", EnableIPv4=False),
    *(
        created(f"subnet /{length}", 201, **pool(Subnet=f"172.30.2.0/{length}"))
        for length in (29, 30, 31, 32)
    ),
    created("subnet overlaps docker0", 403, OVERLAP, **pool(Subnet="172.17.0.0/24")),
    created("subnet overlaps host iface", 201, **pool(Subnet="192.0.2.0/24")),
    created("subnet loopback", 201, **pool(Subnet="127.9.0.0/16")),
    created("subnet multicast", 201, **pool(Subnet="224.5.0.0/16")),
    created("ok", 201),
    created("dup name", 409, "network with name n1 already exists", Name="n1"),
    created(
        "dup name CheckDuplicate=false",
        409,
        "network with name n1 already exists",
        Name="n1",
        CheckDuplicate=False,
    ),
    created("overlap", 403, OVERLAP, **pool(Subnet="172.30.0.0/16")),
    created("overlap same", 403, OVERLAP, **pool(Subnet="172.30.1.0/24")),
    created("unknown ipam driver", 404, 'plugin "nosuch" not found', IPAM={"Driver": "nosuch"}),
    created("ipam null driver on bridge", 400, "ipv4 pool is empty", IPAM={"Driver": "null"}),
    created("ipam opt", 201, IPAM={"Options": {"x": "y"}}),
    created(
        "mtu abc",
        400,
        f'failed to parse {DRIVER}mtu value: abc (strconv.Atoi: parsing "abc": invalid syntax)',
        **option(f"{DRIVER}mtu", "abc"),
    ),
    created("mtu -1", 400, "invalid MTU number: -1", **option(f"{DRIVER}mtu", "-1")),
    created("mtu 67", 500, "invalid argument", **option(f"{DRIVER}mtu", "67")),
    created("mtu 100000", 500, "invalid argument", **option(f"{DRIVER}mtu", "100000")),
    created(
        "icc foo",
        400,
        f"failed to parse {BRIDGE}enable_icc value: foo ({BOOL})",
        **option(f"{BRIDGE}enable_icc", "foo"),
    ),
    created(
        "masq foo",
        400,
        f"failed to parse {BRIDGE}enable_ip_masquerade value: foo ({BOOL})",
        **option(f"{BRIDGE}enable_ip_masquerade", "foo"),
    ),
    created(
        "host_binding bad",
        400,
        f"failed to parse {BRIDGE}host_binding_ipv4 value: foo (nil ip)",
        **option(f"{BRIDGE}host_binding_ipv4", "foo"),
    ),
    created("host_binding v6", 201, **option(f"{BRIDGE}host_binding_ipv4", "::1")),
    created(
        "host_ipv4 bad",
        400,
        "failed to parse com.docker.network.host_ipv4 value: foo (nil ip)",
        **option("com.docker.network.host_ipv4", "foo"),
    ),
    created(
        "bridge name long",
        500,
        "numerical result out of range",
        **option(f"{BRIDGE}name", "a-name-that-is-too-long"),
    ),
    created(
        "bridge name docker0",
        403,
        "cannot create network <ID> (docker0): conflicts with network <ID> (docker0):"
        " networks have same bridge name",
        **option(f"{BRIDGE}name", "docker0"),
    ),
    created(
        "bridge name existing nonbridge",
        500,
        "existing interface eth0 is not a bridge",
        **option(f"{BRIDGE}name", "eth0"),
    ),
    created("bridge name slash", 500, "invalid argument", **option(f"{BRIDGE}name", "a/b")),
    created(
        "gw mode bogus",
        400,
        f"failed to parse {BRIDGE}gateway_mode_ipv4 value: bogus (unknown gateway mode bogus)",
        **option(f"{BRIDGE}gateway_mode_ipv4", "bogus"),
    ),
    created(
        "gw isolated not internal",
        500,
        "gateway mode 'isolated' can only be used for an internal network",
        **option(f"{BRIDGE}gateway_mode_ipv4", "isolated"),
    ),
    created("unknown option", 201, **option("com.example.x", "y")),
    created("inhibit_ipv4 true", 201, **option(f"{BRIDGE}inhibit_ipv4", "true")),
    created(
        "container_iface_prefix",
        201,
        **option("com.docker.network.container_iface_prefix", "lan"),
    ),
    created("trusted iface nonexist", 201, **option(f"{BRIDGE}trusted_host_interfaces", "nosuch0")),
    Row("bad json", "POST", "/networks/create", b'{"Name":', 400, "invalid JSON: unexpected EOF"),
    Row(
        "extra data",
        "POST",
        "/networks/create",
        b'{"Name":"new"} {}',
        400,
        "unexpected content after JSON",
    ),
)


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
