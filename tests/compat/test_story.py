"""One container's life on two networks, told again: each document is Docker 28.5.2's.

The requests are those that the documents in `observed` were made with. Ids, times and MAC
addresses differ from run to run; everything else is compared, key by key and in its order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.stage import eventually
from tests.docker.tidy import tidy
from tests.lab import Daemon

pytestmark = pytest.mark.root

OBSERVED = Path(__file__).parents[1] / "api" / "observed"
API = "/v1.51"
SHOW = (
    "cat /etc/resolv.conf; echo ==; cat /etc/hosts; echo ==; cat /etc/hostname; echo ==;"
    " ip addr; echo ==; ip route; ip -6 route"
)
NETWORK = {
    "Name": "web",
    "EnableIPv6": True,
    "IPAM": {
        "Config": [
            {
                "Subnet": "172.31.0.0/16",
                "IPRange": "172.31.5.0/24",
                "Gateway": "172.31.5.254",
                "AuxiliaryAddresses": {"h1": "172.31.5.5"},
            },
            {"Subnet": "fd00:77::/64"},
        ]
    },
    "Options": {"com.docker.network.driver.mtu": "1400"},
    "Labels": {"a": "b"},
}
CONTAINER = {
    "Image": "busybox",
    "Cmd": ["sleep", "100000"],
    "Hostname": "apphost",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "HostConfig": {
        "NetworkMode": "web",
        "PortBindings": {
            "80/tcp": [{"HostPort": "8080"}],
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        },
        "Dns": ["9.9.9.9"],
        "DnsOptions": ["timeout:1"],
        "DnsSearch": ["ex.org"],
        "ExtraHosts": ["x:1.2.3.4"],
    },
    "NetworkingConfig": {
        "EndpointsConfig": {
            "web": {"IPAMConfig": {"IPv4Address": "172.31.5.9"}, "Aliases": ["al1"]}
        }
    },
}
STILL = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z"), "<time>"),
    (re.compile(r'"SandboxKey": "[^"]+"'), '"SandboxKey": "<path>"'),
)


def still(document: Any) -> Any:
    """A document without what differs from run to run."""
    text = json.dumps(document, indent=1)
    for pattern, name in STILL:
        text = pattern.sub(name, text)
    return text


def observed(name: str) -> Any:
    """What a real daemon answered."""
    return json.loads((OBSERVED / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def story(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon at which it happens, one test after the other."""
    yield daemon
    tidy(daemon)


def ask(story: Daemon, method: str, path: str, body: Any = None) -> Any:
    """The answer to a request that goes well."""
    answer = story.api(method, API + path, body)
    assert answer.status < 300, answer.body
    return answer.json if answer.body else None


def settings(story: Daemon) -> Any:
    """The container's NetworkSettings."""
    return ask(story, "GET", "/containers/app/json")["NetworkSettings"]


def test_before(story: Daemon) -> None:
    """Three networks are always there; theirs is the same order of keys."""
    shown = {n["Name"]: n for n in ask(story, "GET", "/networks")}
    seen = {n["Name"]: n for n in observed("networks-initial")}
    assert shown.keys() == seen.keys()
    for name, network in seen.items():
        assert still(shown[name]) == still(network)


def test_network_create(story: Daemon) -> None:
    """The id, and no warning."""
    made = ask(story, "POST", "/networks/create", NETWORK)
    assert still(made) == still({"Id": "0" * 64, "Warning": ""})


def test_network_inspect(story: Daemon) -> None:
    """As asked for; the gateway of IPv6 is shown as since Docker 29."""
    assert still(ask(story, "GET", "/networks/web")) == still(
        with_gateway(observed("network-inspect-empty"))
    )


def test_container_create(story: Daemon) -> None:
    """Configured, but nowhere yet."""
    made = ask(story, "POST", "/containers/create?name=app", CONTAINER)
    assert still(made) == still({"Id": "0" * 64, "Warnings": []})
    seen = observed("container-inspect-created-networksettings")
    assert still(settings(story)) == still(seen)


def test_container_start(story: Daemon) -> None:
    """Addresses, ports on both families, names."""
    ask(story, "POST", "/containers/app/start")
    seen = observed("container-inspect-running-networksettings")
    assert still(settings(story)) == still(seen)


def test_who_is_there(story: Daemon) -> None:
    """The network knows its container."""
    assert still(ask(story, "GET", "/networks/web")) == still(
        with_gateway(observed("network-inspect-with-container"))
    )


def test_connect(story: Daemon) -> None:
    """A second network, in inspect and in the list."""
    ask(story, "POST", "/networks/bridge/connect", {"Container": "app"})
    seen = observed("container-inspect-two-networks")
    assert still(settings(story)) == still(seen)
    (listed,) = ask(story, "GET", "/containers/json")
    (wanted,) = observed("containers-json")
    changing = ("ImageID", "Created", "Status")
    assert still({**listed, **dict.fromkeys(changing)}) == still(
        {**wanted, **dict.fromkeys(changing)}
    )
    assert listed["Status"].startswith("Up ")


def test_inside(story: Daemon) -> None:
    """resolv.conf, hosts and hostname to the letter; interfaces and routes alike."""
    shown = story.docker("exec", "app", "sh", "-c", SHOW).stdout.split("==\n")
    seen = Path(__file__).with_name("observed").joinpath("in-container.golden")
    wanted = seen.read_text().split("==\n")
    assert shown[:3] == wanted[:3]
    assert links(shown[3]) == links(wanted[3])
    assert routes(shown[4]) == routes(wanted[4])


def test_disconnect(story: Daemon) -> None:
    """Back to one."""
    ask(story, "POST", "/networks/bridge/disconnect", {"Container": "app"})
    seen = observed("container-inspect-running-networksettings")
    assert still(settings(story)) == still(seen)


def test_stop(story: Daemon) -> None:
    """What it was configured with stays; the network is empty."""
    ask(story, "POST", "/containers/app/stop?t=1")
    seen = observed("container-inspect-exited-networksettings")
    assert still(settings(story)) == still(seen)
    assert still(ask(story, "GET", "/networks/web")) == still(
        with_gateway(observed("network-inspect-empty"))
    )


def test_the_end(story: Daemon) -> None:
    """A stopped container goes; nobody uses the network, so a prune takes it."""
    ask(story, "DELETE", "/containers/app")
    assert ask(story, "POST", "/networks/prune") == {"NetworksDeleted": ["web"]}


def test_events(story: Daemon) -> None:
    """Each with the same keys and attributes, and in the same order but for execs."""
    ours = [e for e in heard(story) if "exec" not in e["Action"]]
    theirs = [e for e in observed("events") if "exec" not in e["Action"]]
    assert [tale(e) for e in ours] == [tale(e) for e in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() - {"time", "timeNano"} == other.keys() - {"time", "timeNano"}
        assert mine["Actor"]["Attributes"].keys() == other["Actor"]["Attributes"].keys()


def with_gateway(network: Any) -> Any:
    """The document with the gateway that IPv6 has anyway, which 28 did not mention."""
    network["IPAM"]["Config"][1]["Gateway"] = "fd00:77::1"
    return network


def links(text: str) -> list[str]:
    """What `ip addr` tells, without what comes with time and chance."""
    lines = re.sub(r"@if\d+|<mac>| (flags 02|tentative|qlen \d+)", "", text)
    lines = re.sub(r"link/ether \S+|inet6 fe80::\S+", "", lines)
    return [line.strip() for line in lines.splitlines() if line.strip()]


def routes(text: str) -> list[str]:
    """What `ip route` tells."""
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]


def heard(story: Daemon) -> list[Any]:
    """All events of the story so far."""

    def told() -> list[Any]:
        lines = story.api("GET", f"{API}/events?since=1&until=0s").body.splitlines()
        events = [json.loads(line) for line in lines]
        first = next(n for n, e in enumerate(events) if e["Type"] == "network")
        return events[first:]

    eventually(lambda: told()[-1]["Action"] == "prune")
    return told()


def tale(event: Any) -> str:
    """An event in one line."""
    attributes = event["Actor"]["Attributes"]
    return f"{event['Type']} {event['Action']} {attributes.get('name', '')}"
