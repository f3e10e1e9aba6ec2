"""daemon.json and flags: what is set is what runs, and a mistake stops the start."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.config import Config, load
from fairlead.cli.unserved import unserved
from fairlead.cli.wiring import judged
from fairlead.firewall.policy import Habits, Mark
from fairlead.ipam.pool import Base
from fairlead.model.errors import FairleadError, Invalid
from fairlead.model.marks import Marks


def written(folder: Path, settings: Any) -> Path:
    path = folder / "daemon.json"
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return path


def test_the_file_of_the_tutorials(tmp_path: Path) -> None:
    """A bip in daemon.json is the default bridge's address."""
    assert load(written(tmp_path, {"bip": "172.100.0.1/24"}), {}).bip == "172.100.0.1/24"


def test_flags_alone(tmp_path: Path) -> None:
    """Flags take effect without a file, lists of them too."""
    config = load(
        written(tmp_path, ""), {"host": ["unix:///run/a", "tcp://127.0.0.1:1"], "mtu": 1400}
    )

    assert config.hosts == ("unix:///run/a", "tcp://127.0.0.1:1")
    assert config.mtu == 1400


def test_pools(tmp_path: Path) -> None:
    """default-address-pools as Docker writes them, and as the flag does."""
    base = Base(ip_network("10.9.0.0/16"), 24)
    settings = {"default-address-pools": [{"base": "10.9.0.0/16", "size": 24}]}

    assert load(written(tmp_path, settings), {}).default_address_pools == (base,)
    flag = {"default-address-pool": ["base=10.9.0.0/16,size=24"]}
    assert load(written(tmp_path, "{}"), flag).default_address_pools == (base,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bpi": "1.2.3.4/24"}, "don't match any configuration option: bpi"),
        ({"mtu": "big"}, "mtu must be a number"),
        ({"mtu": 5}, "mtu must be between 68 and 65535"),
        ({"icc": "yes"}, "icc must be true or false"),
        ({"ip": "example.org"}, "is no IP address"),
        ({"dns": ["8.8.8.8", "dns"]}, "'dns' is no IP address"),
        ({"hosts": ["npipe://x"]}, "invalid host"),
        ({"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}, "does not fit"),
        (
            {"default-address-pools": [{"base": "ten", "size": 16}]},
            "needs a base subnet and a size",
        ),
        ({"bridge": "br0", "bip": "10.0.0.1/24"}, "mutually exclusive"),
        ({"iptables-prefix": "FAR-TOO-LONG"}, "at most 9"),
        ({"firewall-backend": "pf"}, "not one of iptables, nftables"),
        ({"bip": "10.0.0.0/24"}, "it is the subnet's own address"),
        ({"bip": "2001:db8::1/64"}, "invalid bip '2001:db8::1/64'"),
        ({"bip6": "10.0.0.1/24"}, "invalid bip6 '10.0.0.1/24'"),
        ({"fixed-cidr": "2001:db8::/64"}, "is no IPv4 subnet"),
        ({"fixed-cidr-v6": "fe80::/64"}, "holds addresses that are not for a network"),
        ({"fixed-cidr-v6": "ff02::/64"}, "holds addresses that are not for a network"),
        (
            {"bip": "10.1.0.1/24", "fixed-cidr": "10.2.0.0/25"},
            "fixed-cidr 10.2.0.0/25 is not in 10.1.0.0/24, the subnet of bip 10.1.0.1/24",
        ),
        (
            {"bip": "10.1.0.1/24", "default-gateway": "10.2.0.1"},
            "default-gateway 10.2.0.1 is not in 10.1.0.0/24",
        ),
        ({"default-gateway-v6": "10.2.0.1"}, "10.2.0.1 is no IPv6 address"),
        ({"bridge-accept-fwmark": "mark"}, "invalid firewall mark 'mark'"),
        ({"bridge-accept-fwmark": "0x1/0x100000000"}, "invalid firewall mark"),
        ({"host-gateway-ips": ["10.0.0.1", "10.0.0.2"]}, "only one IPv4 host gateway"),
        ({"host-gateway-ips": ["::1", "::2"]}, "only one IPv6 host gateway"),
        (
            {"host-gateway-ip": "10.0.0.1", "host-gateway-ips": ["10.0.0.1"]},
            "host-gateway-ip and host-gateway-ips must not both be specified",
        ),
        ({"default-network-opts": {"bridge": "x"}}, "bridge needs an object"),
        (
            {"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "big"}}},
            "failed to parse com.docker.network.driver.mtu value: big",
        ),
        ({"log-level": "loud"}, "invalid logging level: loud"),
        ({"log-format": "xml"}, "invalid log format: xml"),
        ({"metrics-addr": "127.0.0.1"}, "'127.0.0.1' is not address:port"),
        ({"metrics-addr": "example.org:9323"}, "is no IP address"),
        ({"labels": ["colour"]}, "bad attribute format: colour"),
        ({"labels": ["a=1", "a=2"]}, "conflict labels for a=2 and a=1"),
        (
            {"default-address-pools": [{"base": "10.0.0.0/8", "size": 16}] * 2},
            "10.0.0.0/8 overlaps 10.0.0.0/8",
        ),
        ('{"mtu": 1400, "mtu": 1300}', "mtu is set twice"),
        ([1], "must hold one JSON object"),
        ("{", "Expecting property name"),
    ],
    ids=str,
)
def test_mistakes(tmp_path: Path, settings: Any, words: str) -> None:
    """Each is one clear line."""
    with pytest.raises(FairleadError) as refused:
        load(written(tmp_path, settings), {})

    assert words in refused.value.message
    assert str(tmp_path / "daemon.json") in refused.value.message
    assert "\n" not in refused.value.message


def test_set_in_both_places(tmp_path: Path) -> None:
    """Nobody has to guess which of two values counts."""
    settings = {"mtu": 1400, "icc": True, "dns": ["8.8.8.8"]}
    flags = {"mtu": 1300, "icc": False, "dns": ["1.1.1.1", "9.9.9.9"]}
    with pytest.raises(Invalid) as refused:
        load(written(tmp_path, settings), flags)

    shown = refused.value.message.partition("configuration file: ")[2]
    assert shown == (
        "dns: (from flag: [1.1.1.1 9.9.9.9], from file: [8.8.8.8]), "
        "icc: (from flag: false, from file: true), mtu: (from flag: 1300, from file: 1400)"
    )


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    """--config-file names a file; a typing error is not the same as no file."""
    with pytest.raises(Invalid, match="does not exist"):
        load(tmp_path / "nowhere.json", {})


def test_defaults(tmp_path: Path) -> None:
    """An empty file changes nothing."""
    assert load(written(tmp_path, "{}"), {}) == Config()


def test_every_key_is_taken(tmp_path: Path) -> None:
    """All that dockerd reads of networks is read, and is what was written."""
    config = load(
        written(
            tmp_path,
            {
                "bip": "10.1.0.1/16",
                "bip6": "2001:db8:1::1/64",
                "fixed-cidr": "10.1.9.0/24",
                "fixed-cidr-v6": "2001:db8:1:0:9::/80",
                "default-gateway": "10.1.0.254",
                "default-gateway-v6": "2001:db8:1::254",
                "icc": False,
                "ip": "192.0.2.1",
                "ipv6": True,
                "ip-forward": False,
                "ip-forward-no-drop": True,
                "ip-masq": False,
                "iptables": False,
                "ip6tables": False,
                "mtu": 1400,
                "userland-proxy": False,
                "userland-proxy-path": "/usr/bin/docker-proxy",
                "allow-direct-routing": True,
                "bridge-accept-fwmark": "0x1/0xff",
                "firewall-backend": "nftables",
                "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1300"}},
                "dns": ["192.0.2.53"],
                "dns-opts": ["ndots:3"],
                "dns-search": ["example.org"],
                "host-gateway-ips": ["192.0.2.2", "2001:db8::2"],
                "live-restore": False,
                "cluster-store": "etcd://192.0.2.9:2379",
                "cluster-advertise": "eth0:2375",
                "cluster-store-opts": {"kv.path": "x"},
                "network-control-plane-mtu": 1200,
                "metrics-addr": "[::1]:9323",
                "log-level": "WARN",
                "log-format": "json",
                "log-driver": "json-file",
                "log-opts": {"max-size": "10m"},
            },
        ),
        {},
    )

    assert config.bip6 == "2001:db8:1::1/64"
    assert config.fixed_cidr_v6 == ip_network("2001:db8:1:0:9::/80")
    assert str(config.default_gateway_v6) == "2001:db8:1::254"
    assert (config.ipv6, config.ip6tables, config.ip_forward_no_drop) == (True, False, True)
    assert config.bridge_accept_fwmark == (1, 0xFF)
    assert config.default_network_opts == {"bridge": {"com.docker.network.driver.mtu": "1300"}}
    assert config.host_gateway_ips == ("192.0.2.2", "2001:db8::2")
    assert (config.log_level, config.log_format) == ("warn", "json")
    assert config.metrics_addr == "[::1]:9323"
    assert unserved(config) == [
        "network-control-plane-mtu is of swarm's control plane, which fairlead does not have"
    ]


def test_the_firewall_that_is_asked_for(tmp_path: Path) -> None:
    """Families, mark and direct routing reach what judges packets."""
    marks = Marks("12345678")
    flags = {"bridge-accept-fwmark": "7", "allow-direct-routing": True, "ip6tables": False}
    walls, host = judged(load(written(tmp_path, ""), flags), marks)
    assert [renderer.version for renderer in walls.renderers] == [4]
    habits = [renderer.habits for renderer in walls.renderers]
    assert habits == [Habits(accepted=Mark(7), direct=True)]
    assert host.firewall
    flags = {"iptables": False, "ip6tables": False, "firewall-backend": "nftables"}
    walls, host = judged(load(written(tmp_path, ""), flags), marks)
    assert walls.backend == "nftables"
    assert not host.firewall


def test_a_byte_order_mark(tmp_path: Path) -> None:
    """Some editors put one in front of a file."""
    path = tmp_path / "daemon.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"mtu": 1400}')
    assert load(path, {}).mtu == 1400


def test_options_of_networks_as_flags(tmp_path: Path) -> None:
    """--default-network-opt, several times."""
    flags = {"default-network-opt": ["bridge=a=1", "bridge=b=2=3", "macvlan=c=4"]}
    opts = load(written(tmp_path, ""), flags).default_network_opts
    assert opts == {"bridge": {"a": "1", "b": "2=3"}, "macvlan": {"c": "4"}}
    with pytest.raises(Invalid, match="not of the form driver=option=value"):
        load(written(tmp_path, ""), {"default-network-opt": ["bridge"]})


def test_tls_as_dockerd_reads_it(tmp_path: Path) -> None:
    """Mentioning verification means TLS; TLS alone means verification."""
    path = written(tmp_path, "")

    def found(**flags: bool) -> tuple[bool | None, bool | None]:
        config = load(path, flags)
        return config.tls, config.tlsverify

    assert found() == (None, None)
    assert found(tls=False) == (False, False)
    assert found(tls=True) == (True, True)
    assert found(tlsverify=False) == (True, False)
