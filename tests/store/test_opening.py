"""What `--cluster-store` and its options can say, and what is said when they are wrong."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from fairlead.model.errors import Invalid
from fairlead.store.opening import (
    Advertised,
    Discovery,
    advertised,
    discovery,
    open_store,
    parse,
)
from fairlead.store.servers import Server


def test_a_url_names_servers_and_a_folder() -> None:
    """Several servers, usual ports, addresses of both families and a prefix."""
    place = parse("etcd://192.0.2.1:4001,[2001:db8::1],kv.example/some/prefix/", {})
    assert place.servers == (
        Server("192.0.2.1", 4001),
        Server("2001:db8::1", 2379),
        Server("kv.example", 2379),
    )
    assert place.prefix == "some/prefix"
    assert place.name == "etcd://192.0.2.1:4001,[2001:db8::1]:2379,kv.example:2379/some/prefix"
    assert place.api == 3
    assert place.files is None
    assert parse("consul://h", {}).servers == (Server("h", 8500),)
    assert parse("zk://h:1,g:2", {}).prefix == ""
    assert parse("etcd://h", {"kv.api": "2"}).api == 2


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis://h:1", {}, "discovery service not supported"),
        ("192.0.2.1:2379", {}, "discovery service not supported"),
        ("etcd://", {}, "invalid server ''"),
        ("etcd://h:1,,g:2", {}, "invalid server ''"),
        ("etcd://h:port", {}, "invalid server 'h:port'"),
        ("etcd://h:0", {}, "invalid server 'h:0'"),
        ("etcd://h:70000", {}, "invalid server 'h:70000'"),
        ("etcd://me:secret@h:1", {}, "invalid server"),
        ("etcd://h:1/a/../b", {}, "invalid path"),
        ("etcd://h:1/a//b", {}, "invalid path"),
        ("etcd://h:1", {"kv.cafile": "x"}, "invalid cluster-store-opt: kv.cafile"),
        ("etcd://h:1", {"kv.api": "4"}, "invalid kv.api: 4"),
        ("consul://h:1", {"kv.api": "3"}, "kv.api is of etcd only"),
        ("etcd://h:1", {"kv.certfile": "/a.pem"}, "kv.certfile and kv.keyfile belong together"),
        ("etcd://h:1", {"kv.cacertfile": "/no.pem"}, "with /no.pem: No such file"),
        ("zk://h:1", {"kv.cacertfile": "/no.pem"}, "with /no.pem: No such file"),
        ("etcd://h:1", {"discovery.ttl": "1m"}, 'strconv.Atoi: parsing "1m": invalid syntax'),
    ],
)
def test_what_is_wrong_is_said(url: str, options: dict[str, str], said: str) -> None:
    """One line, before anything is connected to."""
    with pytest.raises(Invalid) as refused:
        open_store(url, options)
    assert said in refused.value.message


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    """A file of something else is refused at once."""
    wrong = tmp_path / "ca.pem"
    wrong.write_text("nothing")
    with pytest.raises(Invalid, match="cannot be reached by TLS"):
        open_store("etcd://h:1", {"kv.cacertfile": str(wrong)})


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, Discovery("docker/nodes", 20, 60)),
        ({"discovery.heartbeat": "10"}, Discovery("docker/nodes", 10, 30)),
        ({"discovery.ttl": "30"}, Discovery("docker/nodes", 10, 30)),
        ({"discovery.ttl": "5", "discovery.heartbeat": "2"}, Discovery("docker/nodes", 2, 5)),
        ({"kv.path": "/mine/nodes/"}, Discovery("mine/nodes", 20, 60)),
    ],
)
def test_discovery(options: dict[str, str], found: Discovery) -> None:
    """The one time follows from the other, as with Docker."""
    assert discovery(options) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"discovery.heartbeat": "0"}, "discovery.heartbeat must be positive"),
        ({"discovery.ttl": "-1"}, "discovery.ttl must be positive"),
        (
            {"discovery.ttl": "20", "discovery.heartbeat": "20"},
            "discovery.ttl timer must be greater than discovery.heartbeat",
        ),
        ({"discovery.ttl": "2"}, "discovery.ttl timer must be greater than discovery.heartbeat"),
    ],
)
def test_times_that_make_no_sense(options: dict[str, str], said: str) -> None:
    """Docker's words."""
    with pytest.raises(Invalid, match=said):
        discovery(options)


def test_how_this_host_is_reached() -> None:
    """By an address of either family, or by an interface."""
    assert advertised("192.0.2.11:2376") == Advertised(2376, ip_address("192.0.2.11"))
    assert advertised("[2001:db8::11]:2376") == Advertised(2376, ip_address("2001:db8::11"))
    assert advertised("eth0:2376") == Advertised(2376, interface="eth0")


@pytest.mark.parametrize(
    "text",
    ["eth0", "192.0.2.11", ":2376", "eth0:", "eth0:x", "eth0:0", "eth0:65536",
     "2001:db8::11:2376", "[eth0]:2376", "a/b:1", "averyverylongname:1"],
)  # fmt: skip
def test_how_it_cannot_be_reached(text: str) -> None:
    """Refused in one line that repeats it."""
    with pytest.raises(Invalid, match="discovery advertise parsing failed") as refused:
        advertised(text)
    assert text in refused.value.message


def test_a_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint says how it is; etcd's older API needs none."""
    for library in ("etcd3gw", "consul", "kazoo"):
        monkeypatch.setitem(sys.modules, library, None)
    for url, extra in (("etcd", "etcd"), ("consul", "consul"), ("zk", "zookeeper")):
        with pytest.raises(Invalid, match=f"the client for {url}:// is not installed") as refused:
            open_store(f"{url}://h:1", {})
        assert f"fairlead[{extra}]" in refused.value.hint
    open_store("etcd://h:1", {"kv.api": "2"})
