"""What create and start refuse, in the words that a real daemon was seen to use."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.engine import validate
from fairlead.engine.documents import EndpointSettings
from fairlead.model.errors import Failed, FairleadError, Invalid
from tests.engine.build import config, host

SHARED = {"NetworkMode": "container:c1"}

REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    (
        "container mode without a container",
        {},
        {"NetworkMode": "container:"},
        400,
        "invalid network mode: invalid container format container:<name|id>",
    ),
    (
        "container mode and a host name",
        {"Hostname": "h"},
        SHARED,
        400,
        "conflicting options: hostname and the network mode",
    ),
    (
        "container mode and ports",
        {},
        {**SHARED, "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        400,
        "conflicting options: port publishing and the container type network mode",
    ),
    (
        "container mode and -P",
        {},
        {**SHARED, "PublishAllPorts": True},
        400,
        "conflicting options: port publishing and the container type network mode",
    ),
    (
        "container mode and links",
        {},
        {**SHARED, "Links": ["a:b"]},
        400,
        "conflicting options: container type network can't be used with links. "
        "This would result in undefined behavior",
    ),
    (
        "container mode and dns",
        {},
        {**SHARED, "Dns": ["1.1.1.1"]},
        400,
        "conflicting options: dns and the network mode",
    ),
    (
        "container mode and extra hosts",
        {},
        {**SHARED, "ExtraHosts": ["a:1.1.1.1"]},
        400,
        "conflicting options: custom host-to-IP mapping and the network mode",
    ),
    (
        "container mode and expose",
        {"ExposedPorts": {"80/tcp": {}}},
        SHARED,
        400,
        "conflicting options: port exposing and the container type network mode",
    ),
    (
        "host mode and links",
        {},
        {"NetworkMode": "host", "Links": ["a:b"]},
        400,
        "conflicting options: host type networking can't be used with links. "
        "This would result in undefined behavior",
    ),
    (
        "container port too high",
        {},
        {"PortBindings": {"70000/tcp": [{}]}},
        400,
        'invalid port specification: "70000"',
    ),
    (
        "host port too high",
        {},
        {"PortBindings": {"80/tcp": [{"HostPort": "70000"}]}},
        400,
        'invalid port specification: "70000"',
    ),
    (
        "host port no number",
        {},
        {"PortBindings": {"80/tcp": [{"HostPort": "abc"}]}},
        400,
        'invalid port specification: "abc"',
    ),
    (
        "host port range reversed",
        {},
        {"PortBindings": {"80/tcp": [{"HostPort": "9010-9000"}]}},
        400,
        'invalid port specification: "9010-9000"',
    ),
    ("bad extra host", {}, {"ExtraHosts": ["zz"]}, 400, 'bad format for add-host: "zz"'),
    (
        "bad extra host address",
        {},
        {"ExtraHosts": ["a:zz"]},
        400,
        'invalid IP address in add-host: "zz"',
    ),
    ("bad link", {}, {"Links": ["a:b:c"]}, 500, "bad format for links: a:b:c"),
    (
        "auto-remove and restart",
        {},
        {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
        400,
        "can't create 'AutoRemove' container with restart policy",
    ),
    ("too little memory", {}, {"Memory": 4096}, 400, "Minimum memory limit allowed is 6MB"),
    (
        "relative working directory",
        {"WorkingDir": "tmp"},
        {},
        400,
        "the working directory 'tmp' is invalid, it needs to be an absolute path",
    ),
]


@pytest.mark.parametrize(
    ("asked", "on_host", "status", "message"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_create_refuses_in_dockers_words(
    asked: dict[str, Any], on_host: dict[str, Any], status: int, message: str
) -> None:
    """Programs match these messages and statuses."""
    with pytest.raises(FairleadError) as caught:
        validate.check(config(**asked), host(**on_host))

    assert (caught.value.status, caught.value.message) == (status, message)


@pytest.mark.parametrize(
    "on_host",
    [
        {"PortBindings": {"80/foo": [{"HostPort": "1"}]}},
        {"PortBindings": {"0/tcp": [{"HostPort": "0"}]}},
        {"PortBindings": {"80/tcp": [{"HostIp": "zz", "HostPort": "1"}]}},
        {"PortBindings": {"80/tcp": [{"HostPort": "9000-9010"}]}},
        {"PortBindings": {"80/sctp": [{}]}},
        {"NetworkMode": "none", "PortBindings": {"80/tcp": [{}]}},
        {"NetworkMode": "host", "Dns": ["1.1.1.1"]},
        {"Dns": ["zz"]},
        {"ExtraHosts": ["a:host-gateway", "b=fd00::1", "c:[fd00::1]"]},
    ],
)
def test_create_accepts_what_docker_accepts(on_host: dict[str, Any]) -> None:
    """Some of it is only refused at start, if at all."""
    assert validate.check(config(), host(**on_host)) == []


def test_ports_in_host_mode_are_discarded_with_a_warning() -> None:
    """The container is made; the client is told."""
    warnings = validate.check(
        config(), host(NetworkMode="host", PortBindings={"80/tcp": [{"HostPort": "80"}]})
    )

    assert warnings == ["Published ports are discarded when using host network mode"]


def test_the_containers_mac_goes_to_its_main_network() -> None:
    """Old clients set it on the container, and newer ones are told not to."""
    asked = config(MacAddress="02:00:00:00:00:01")

    assert validate.main_mac(asked, host(), EndpointSettings(), (1, 43)) == (
        "02:00:00:00:00:01",
        [],
    )
    _, warnings = validate.main_mac(asked, host(), EndpointSettings(), (1, 44))
    assert warnings == [validate.MAC_WARNING]

    with pytest.raises(Invalid, match="must match the endpoint-specific MAC address"):
        validate.main_mac(asked, host(), EndpointSettings(mac_address="02:00:00:00:00:02"), (1, 44))


def test_settings_of_one_interface_belong_to_the_endpoint() -> None:
    """Old clients have them moved there, new ones are told where they belong."""
    asked = host(Sysctls={"net.ipv4.conf.eth0.forwarding": "1", "net.ipv4.ip_forward": "1"})

    assert validate.interface_sysctls(asked, (1, 47)) == (
        {"net.ipv4.ip_forward": "1"},
        ["net.ipv4.conf.IFNAME.forwarding=1"],
    )
    with pytest.raises(Failed) as caught:
        validate.interface_sysctls(asked, (1, 48))
    assert caught.value.message == (
        'interface specific sysctl setting "net.ipv4.conf.eth0.forwarding" must be supplied '
        "using driver option 'com.docker.network.endpoint.sysctls'"
    )


def test_settings_of_all_interfaces_stay() -> None:
    """`all` and `default` are no interfaces."""
    asked = host(Sysctls={"net.ipv6.conf.all.disable_ipv6": "0"})

    assert validate.interface_sysctls(asked, (1, 50)) == (
        {"net.ipv6.conf.all.disable_ipv6": "0"},
        [],
    )


@pytest.mark.parametrize(
    ("on_host", "words"),
    [
        ({"Sysctls": {"kernel.panic": "1"}}, 'sysctl "kernel.panic" is not in a separate'),
        (
            {"NetworkMode": "host", "Sysctls": {"net.ipv4.ip_forward": "1"}},
            'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
        ),
    ],
)
def test_no_container_sets_the_hosts_kernel(on_host: dict[str, Any], words: str) -> None:
    """A setting without a namespace of its own would be everybody's."""
    with pytest.raises(Failed) as caught:
        validate.sysctls_at_start(host(**on_host))

    assert words in caught.value.message


def test_namespaced_settings_may_be_set() -> None:
    """What the container has a copy of is its own business."""
    validate.sysctls_at_start(
        host(Sysctls={"net.core.somaxconn": "1", "kernel.shmmax": "1", "fs.mqueue.msg_max": "9"})
    )


def test_a_nameserver_is_an_address() -> None:
    """Found out at start, as with Docker."""
    with pytest.raises(Failed) as caught:
        validate.dns_at_start(["1.1.1.1", "zz"])

    assert caught.value.message == (
        'bad nameserver address zz: ParseAddr("zz"): unable to parse IP'
    )


def test_a_host_name_has_at_most_64_bytes() -> None:
    """The kernel takes no more."""
    validate.hostname_at_start("h" * 64)
    with pytest.raises(Failed, match="sethostname: invalid argument"):
        validate.hostname_at_start("h" * 65)


def test_links_read_back_as_inspect_prints_them() -> None:
    """A tool may send what it was shown."""
    assert validate.link("db") == ("db", "db")
    assert validate.link("db:store") == ("db", "store")
    assert validate.link("/db:/web/store") == ("db", "store")
