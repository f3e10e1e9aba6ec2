"""What a real daemon (28.5.2) answers to requests to create networks, as it was seen to."""

from __future__ import annotations

from typing import Any

from tests.docker.errors import Row

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
    created("v6 subnet without EnableIPv6", 201, **pool(Subnet="fd00:1::/64")),
    created("EnableIPv6 no subnet", 201, EnableIPv6=True),
    created("EnableIPv4 false + v6", 201, EnableIPv4=False, EnableIPv6=True),
    created("config-only ok", 201, ConfigOnly=True),
    created(
        "config-from missing",
        404,
        'configuration network "nosuch" does not exist',
        ConfigFrom={"Network": "nosuch"},
    ),
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
