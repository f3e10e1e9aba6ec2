"""docker-py's networks, whole: every way the library has to make, change, find and end them."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

import docker
from tests.docker.tidy import Traces
from tests.lab import Daemon

pytestmark = [
    pytest.mark.root,
    # The library forgets to close the connections of exec.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Client = Any  # the library's stubs promise less than it keeps


@pytest.fixture
def client(traces: Traces, daemon: Daemon) -> Iterator[Client]:
    """A client of its own for each test, and no trace after it."""
    made = docker.DockerClient(base_url=f"unix://{daemon.socket}", version="auto")
    yield made
    made.close()
    gc.collect()
    traces.none()


def sleeper(client: Client, name: str, **more: Any) -> Any:
    """A container that runs."""
    return client.containers.run("busybox", ["sleep", "1000000"], detach=True, name=name, **more)


def test_create_with_everything(client: Client) -> None:
    """A pool with range, gateway and kept addresses, options, labels: as asked, and as used."""
    pool = IPAMPool(
        subnet="10.5.0.0/16",
        iprange="10.5.9.0/24",
        gateway="10.5.0.254",
        aux_addresses={"router": "10.5.9.0", "printer": "10.5.9.1"},
    )
    net = client.networks.create(
        "red",
        driver="bridge",
        options={"com.docker.network.driver.mtu": "1400"},
        ipam=IPAMConfig(driver="default", pool_configs=[pool], options={"a": "b"}),
        check_duplicate=True,
        internal=False,
        labels={"colour": "red"},
        attachable=True,
        scope="local",
    )
    net.reload()
    shown = net.attrs
    assert shown["IPAM"] == {
        "Driver": "default",
        "Options": {"a": "b"},
        "Config": [
            {
                "Subnet": "10.5.0.0/16",
                "IPRange": "10.5.9.0/24",
                "Gateway": "10.5.0.254",
                "AuxiliaryAddresses": {"router": "10.5.9.0", "printer": "10.5.9.1"},
            }
        ],
    }
    assert (shown["Attachable"], shown["Labels"]) == (True, {"colour": "red"})
    box = sleeper(client, "one", network="red")
    box.reload()
    mine = box.attrs["NetworkSettings"]["Networks"]["red"]
    assert (mine["IPAddress"], mine["Gateway"]) == ("10.5.9.2", "10.5.0.254")
    assert box.exec_run("cat /sys/class/net/eth0/mtu").output == b"1400\n"
    assert b"default via 10.5.0.254" in box.exec_run("ip route").output
    with pytest.raises(APIError, match="already exists") as failure:
        client.networks.create("red")
    assert failure.value.status_code == 409


def test_an_internal_network(client: Client) -> None:
    """No way out, and a way to each other."""
    client.networks.create("shut", internal=True)
    one = sleeper(client, "one", network="shut")
    sleeper(client, "two", network="shut")
    assert one.exec_run("ping -c1 -W5 two").exit_code == 0
    assert b"default" not in one.exec_run("ip route").output


def test_connect_with_everything(client: Client) -> None:
    """Address, aliases, links and driver options of an endpoint, on one that runs."""
    pools = [IPAMPool(subnet="10.6.0.0/24")]
    net = client.networks.create("blue", ipam=IPAMConfig(pool_configs=pools))
    server = sleeper(client, "server", network="blue")
    box = sleeper(client, "one")
    net.connect(
        box,
        aliases=["uno", "eins"],
        links=[("server", "friend")],
        ipv4_address="10.6.0.66",
        driver_opt={"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"},
    )
    box.reload()
    mine = box.attrs["NetworkSettings"]["Networks"]["blue"]
    assert mine["IPAddress"] == "10.6.0.66"
    assert {"uno", "eins"} <= set(mine["Aliases"])
    for name in ("uno", "eins", "one", "one.blue", box.short_id):
        assert server.exec_run(f"ping -c1 -W5 {name}").exit_code == 0, name
    assert box.exec_run("ping -c1 -W5 friend").exit_code == 0
    assert box.exec_run("cat /proc/sys/net/ipv4/conf/eth1/log_martians").output == b"1\n"
    with pytest.raises(APIError, match="already exists in network blue"):
        net.connect(box)
    net.disconnect(box)
    box.reload()
    assert list(box.attrs["NetworkSettings"]["Networks"]) == ["bridge"]
    with pytest.raises(APIError, match="is not connected to network blue"):
        net.disconnect(box)


def test_connect_what_does_not_run(client: Client) -> None:
    """It is on the network when it starts, with the address that was asked for."""
    pools = [IPAMPool(subnet="10.6.0.0/24")]
    net = client.networks.create("blue", ipam=IPAMConfig(pool_configs=pools))
    box = client.containers.create("busybox", ["sleep", "1000000"], name="one")
    net.connect(box, ipv4_address="10.6.0.77")
    box.start()
    assert b"inet 10.6.0.77/24" in box.exec_run("ip addr show eth1").output
    box.restart(timeout=0)
    assert b"inet 10.6.0.77/24" in box.exec_run("ip addr show eth1").output


def test_a_container_made_with_an_endpoint(client: Client) -> None:
    """networking_config of run and create."""
    pools = [IPAMPool(subnet="10.6.0.0/24")]
    client.networks.create("blue", ipam=IPAMConfig(pool_configs=pools))
    version = client.api.api_version
    config = {
        "blue": EndpointConfig(
            version, aliases=["nick"], ipv4_address="10.6.0.88", mac_address="02:42:0a:06:00:58"
        )
    }
    box = sleeper(client, "one", network="blue", networking_config=config)
    box.reload()
    mine = box.attrs["NetworkSettings"]["Networks"]["blue"]
    assert (mine["IPAddress"], mine["MacAddress"]) == ("10.6.0.88", "02:42:0a:06:00:58")
    other = sleeper(client, "two", network="blue")
    assert b"10.6.0.88" in other.exec_run("ping -c1 -W5 nick").output


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"ipv4_address": "10.7.0.1"}, "contain the IP address 10.7.0.1"),
        ({"ipv4_address": "ten"}, "invalid IPv4 address: ten"),
        ({"ipv4_address": "10.6.0.1"}, "Address already in use"),
    ],
    ids=str,
)
def test_addresses_that_cannot_be(client: Client, asked: dict[str, str], words: str) -> None:
    """Each is refused in Docker's words, and the container stays as it was."""
    pools = [IPAMPool(subnet="10.6.0.0/24", gateway="10.6.0.1")]
    net = client.networks.create("blue", ipam=IPAMConfig(pool_configs=pools))
    box = sleeper(client, "one")
    with pytest.raises(APIError, match=words):
        net.connect(box, **asked)
    assert b"eth1" not in box.exec_run("ip link").output


def test_force_disconnect(client: Client) -> None:
    """A container that does not run leaves as well."""
    net = client.networks.create("blue")
    box = sleeper(client, "one", network="blue")
    box.stop(timeout=0)
    net.disconnect("one", force=True)
    box.reload()
    assert "blue" not in box.attrs["NetworkSettings"]["Networks"]


def test_finding(client: Client) -> None:
    """By name, id, label, driver, type and whether anybody is there; one by one and as a list."""
    red = client.networks.create("red", labels={"colour": "red", "size": "5"})
    blue = client.networks.create("blue", labels={"colour": "blue"})
    sleeper(client, "one", network="red")

    def found(**more: Any) -> set[str]:
        return {net.name for net in client.networks.list(**more)}

    everything = {"bridge", "host", "none", "red", "blue"}
    assert found() == everything
    assert found(names=["red"]) == {"red"}
    assert found(ids=[blue.id]) == {"blue"}
    assert found(filters={"label": "colour"}) == {"red", "blue"}
    assert found(filters={"label": ["colour=red", "size=5"]}) == {"red"}
    assert found(filters={"driver": "bridge"}) == {"bridge", "red", "blue"}
    assert found(filters={"type": "builtin"}) == {"bridge", "host", "none"}
    assert found(filters={"dangling": True}) == {"blue"}
    assert found(filters={"scope": "swarm"}) == set()
    listed = client.networks.list(names=["red"], greedy=True)
    assert [box.name for box in listed[0].containers] == ["one"]
    assert client.networks.get(red.short_id).name == "red"
    with pytest.raises(NotFound, match="network nosuch not found"):
        client.networks.get("nosuch")
    with pytest.raises(APIError, match="invalid filter"):
        found(filters={"nosuch": "x"})


def test_prune(client: Client) -> None:
    """What nobody is on goes, as filtered; a container that is stopped protects nothing."""
    client.networks.create("kept", labels={"keep": "1"})
    client.networks.create("old")
    client.networks.create("used")
    stopped = client.containers.create("busybox", ["true"], network="old")
    sleeper(client, "one", network="used")
    assert client.networks.prune({"until": "24h"})["NetworksDeleted"] is None
    assert client.networks.prune({"label!": ["keep"]})["NetworksDeleted"] == ["old"]
    assert client.networks.prune()["NetworksDeleted"] == ["kept"]
    assert stopped.status == "created"
    with pytest.raises(APIError, match="has active endpoints"):
        client.networks.get("used").remove()


def test_what_is_told(client: Client) -> None:
    """Events of a network's life, in order, with the container that came and went."""
    since = time.time()
    net = client.networks.create("blue")
    box = sleeper(client, "one")
    net.connect(box)
    net.disconnect(box)
    net.remove()
    events = client.events(
        decode=True, since=since, until=time.time(), filters={"type": "network", "network": "blue"}
    )
    told = [(e["Action"], e["Actor"]["Attributes"].get("container")) for e in events]
    assert told == [
        ("create", None),
        ("connect", box.id),
        ("disconnect", box.id),
        ("destroy", None),
    ]
