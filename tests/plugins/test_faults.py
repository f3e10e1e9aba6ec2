"""Plugins that are slow, dead, lying or half made: nobody else suffers, and nothing is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import CommandFailed
from tests.plugins.driver import Wires

pytestmark = pytest.mark.root

Faults = Mapping[str, Mapping[str, Any]]
HELD = {"hold": True}


def refused(lan: Lan, *words: str) -> str:
    """What a docker command says that fails."""
    with pytest.raises(CommandFailed) as failed:
        lan.docker(*words)
    return str(failed.value.done.stderr)


def began(wires: Wires, call: str) -> None:
    """Waits until the plugin was asked."""
    eventually(lambda: call in wires.calls())


def test_a_slow_one_keeps_nobody_waiting(lan: Lan, wires: Wires) -> None:
    """While it thinks about a network and a container, others are made, started and removed."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    wires.fail({"NetworkDriver.CreateNetwork": HELD, "NetworkDriver.Join": HELD})
    creating, env = lan.daemon.docker_command("network", "create", "-d", "wires", "slow")
    running, _ = lan.daemon.docker_command(
        "run", "-d", "--name", "late", "--network", "red", "busybox", "top"
    )
    with lan.host.popen(creating, env=env) as one, lan.host.popen(running, env=env) as two:
        eventually(lambda: wires.calls().count("CreateNetwork") == 2 and "Join" in wires.calls())
        lan.create("blue")
        lan.run("aa", "--network blue")
        lan.docker("network", "connect", "bridge", "aa")
        lan.docker("rm", "-f", "aa")
        lan.docker("network", "rm", "blue")
        assert "slow" not in lan.names()
        # What is promised to somebody is nobody else's, and is not taken away.
        assert "already exists" in refused(lan, "network", "create", "slow")
        assert "active endpoints" in refused(lan, "network", "rm", "red")
        assert one.poll() is None
        assert two.poll() is None
        wires.fail()
        assert one.wait(120) == 0
        assert two.wait(120) == 0
    assert "slow" in lan.names()
    assert lan.address("late", "red") == "10.9.1.2"


def test_addresses_are_promised_while_it_thinks(lan: Lan, wires: Wires) -> None:
    """Two who come at once get two addresses."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    wires.fail({"NetworkDriver.Join": HELD})
    run = ("run", "-d", "--network", "red")
    first, env = lan.daemon.docker_command(*run, "--name", "aa", "busybox", "top")
    second, _ = lan.daemon.docker_command(*run, "--name", "bb", "busybox", "top")
    with lan.host.popen(first, env=env) as one, lan.host.popen(second, env=env) as two:
        eventually(lambda: wires.calls().count("Join") == 2)
        wires.fail()
        assert one.wait(120) == 0
        assert two.wait(120) == 0
    assert {lan.address("aa", "red"), lan.address("bb", "red")} == {"10.9.1.2", "10.9.1.3"}


def test_one_that_is_not_up_yet(lan: Lan, wires: Wires) -> None:
    """Whoever needs it waits for it."""
    wires.kill()
    words, env = lan.daemon.docker_command("network", "create", "-d", "wires", "red")
    with lan.host.popen(words, env=env) as creating:
        assert creating.poll() is None
        wires.start()
        assert creating.wait(120) == 0
    assert lan.network("red")["Driver"] == "wires"


def test_one_that_died_is_told_when_it_is_back(lan: Lan, wires: Wires) -> None:
    """Containers and networks go at once; what it is owed it gets later, in order."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.run("aa", "--network red")
    wires.kill()
    lan.docker("rm", "-f", "aa")
    lan.docker("network", "rm", "red")
    assert "red" not in lan.names()
    wires.forget()
    lan.daemon.restart()
    wires.start()
    eventually(lambda: "DeleteNetwork" in wires.calls())
    assert wires.calls() == [
        "RevokeExternalConnectivity",
        "Leave",
        "DeleteEndpoint",
        "DeleteNetwork",
    ]


def test_one_that_dies_while_it_is_asked(lan: Lan, wires: Wires) -> None:
    """The start of the container fails, and what it may have made is taken back."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    wires.fail({"NetworkDriver.EndpointOperInfo": {"die": True}})
    said = refused(lan, "run", "-d", "--name", "aa", "--network", "red", "busybox", "top")
    assert "plugin wires did not answer" in said
    lan.docker("rm", "aa")
    wires.fail()
    wires.live()
    eventually(lambda: wires.calls().count("DeleteEndpoint") == 1)


LIES: list[tuple[str, Faults, str]] = [
    (
        "create",
        {"NetworkDriver.CreateNetwork": {"answer": {"Err": "out of\nwire"}}},
        "remote: out of wire",
    ),
    ("create", {"NetworkDriver.CreateNetwork": {"raw": "<html>"}}, "something else than it should"),
    ("create", {"NetworkDriver.CreateNetwork": {"huge": 3_000_000}}, "more than 1048576 bytes"),
    ("create", {"NetworkDriver.CreateNetwork": {"status": 500}}, "CreateNetwork: page not found"),
    (
        "create",
        {"NetworkDriver.CreateNetwork": {"redirect": "http://127.0.0.1:1/"}},
        "answered 307",
    ),
    (
        "ipam",
        {"IpamDriver.RequestPool": {"merge": {"Pool": "rubbish"}}},
        "no address with a prefix",
    ),
    ("ipam", {"IpamDriver.RequestPool": {"merge": {"Pool": "224.0.0.0/24"}}}, "nobody can have"),
    ("ipam", {"IpamDriver.RequestPool": {"merge": {"PoolID": 5}}}, "something else than it should"),
    ("ipam", {"IpamDriver.RequestAddress": {"answer": {}}}, "gave no address"),
    (
        "ipam",
        {"IpamDriver.RequestAddress": {"answer": {"Err": "empty"}}},
        "failed to allocate gateway (): remote: empty",
    ),
    (
        "run",
        {"NetworkDriver.CreateEndpoint": {"merge": {"Interface": {"Address": "10.9.1.9/24"}}}},
        "driver modified interface address",
    ),
    (
        "run",
        {
            "NetworkDriver.CreateEndpoint": {
                "merge": {"Interface": {"MacAddress": "ff:ff:ff:ff:ff:ff"}}
            }
        },
        "not the MAC address of one interface",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "eth0"}}}},
        "the host itself uses it",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "lo"}}}},
        "the host itself uses it",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "docker0"}}}},
        "moved, but",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "nowhere"}}}},
        "there is none of that name",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "../eth0"}}}},
        "no name of an interface",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"InterfaceName": {"SrcName": "pi", "DstPrefix": "a/b"}}}},
        "cannot be the start",
    ),
    ("run", {"NetworkDriver.Join": {"merge": {"Gateway": "elsewhere"}}}, "is no address"),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"Gateway": "203.0.113.1"}}},
        "to which no address or route leads",
    ),
    (
        "run",
        {"NetworkDriver.Join": {"merge": {"StaticRoutes": [{"Destination": "x"}]}}},
        "no address with a prefix",
    ),
    ("run", {"NetworkDriver.Join": {"answer": {"Err": "no room"}}}, "remote: no room"),
]


@pytest.mark.parametrize(("when", "faults", "words"), LIES, ids=lambda v: str(v)[:60])
def test_a_lie_is_refused(lan: Lan, wires: Wires, when: str, faults: Faults, words: str) -> None:
    """With one clear line; the plugin is told of the end of all that it had begun."""
    if when == "run":
        lan.create("red", "-d wires --subnet 10.9.1.0/24")
    wires.forget()
    wires.fail(faults)
    if when == "run":
        said = refused(lan, "run", "-d", "--name", "aa", "--network", "red", "busybox", "top")
        lan.docker("rm", "aa")
    else:
        ipam = ["--ipam-driver", "wires"] if when == "ipam" else ["--subnet", "10.9.1.0/24"]
        said = refused(lan, "network", "create", "-d", "wires", *ipam, "red")
        assert "red" not in lan.names()
    assert words in said
    assert len([line for line in said.splitlines() if "rror" in line]) == 1
    calls = wires.calls()
    assert calls.count("CreateEndpoint") == calls.count("DeleteEndpoint")
    assert calls.count("RequestPool") == calls.count("ReleasePool") or "PoolID" in str(faults)


def test_an_address_that_somebody_has(lan: Lan, wires: Wires) -> None:
    """An IPAM that gives one address twice is caught at it."""
    lan.create("red", "-d wires --ipam-driver wires")
    lan.run("aa", "--network red")
    again = f"{lan.address('aa', 'red')}/24"
    wires.fail({"IpamDriver.RequestAddress": {"answer": {"Address": again}}})
    said = refused(lan, "run", "-d", "--name", "bb", "--network", "red", "busybox", "top")
    assert "which endpoint" in said
    lan.docker("rm", "bb")


def test_calls_that_it_need_not_know(lan: Lan, wires: Wires) -> None:
    """Are not missed."""
    optional = ("ProgramExternalConnectivity", "RevokeExternalConnectivity", "EndpointOperInfo")
    wires.fail({f"NetworkDriver.{call}": {"status": 404} for call in optional})
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", "10.9.1.1")
    lan.docker("rm", "-f", "aa")


@pytest.mark.parametrize("call", ["CreateNetwork", "Join"])
def test_a_daemon_that_is_killed_while_it_asks(lan: Lan, wires: Wires, call: str) -> None:
    """The next one takes back what may have been made."""
    if call == "Join":
        lan.create("red", "-d wires --subnet 10.9.1.0/24")
    wires.forget()
    wires.fail({f"NetworkDriver.{call}": HELD})
    command = {
        "CreateNetwork": ("network", "create", "-d", "wires", "red"),
        "Join": ("run", "-d", "--name", "aa", "--network", "red", "busybox", "top"),
    }[call]
    words, env = lan.daemon.docker_command(*command)
    with lan.host.popen(words, env=env) as asking:
        began(wires, call)
        lan.daemon.kill9()
        assert asking.wait(120) != 0
    wires.fail()
    lan.daemon.start()
    undone = {"CreateNetwork": "DeleteNetwork", "Join": "DeleteEndpoint"}[call]
    eventually(lambda: undone in wires.calls())


NAMES = ["../evil", "a/b", "/run/evil.sock", "..", "a b", "-x", "x" * 200]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere(lan: Lan, wires: Wires, name: str) -> None:
    """Are refused before anything is looked for, be it a driver's or an IPAM's."""
    with Wires(lan.host, "evil", where="/run/docker/evil.sock") as evil:
        for body in ({"Driver": name}, {"Driver": "bridge", "IPAM": {"Driver": name}}):
            answer = lan.daemon.api("POST", "/networks/create", {"Name": "red", **body})
            assert answer.status in (400, 404), answer.body
        assert evil.asked() == []


def test_an_unknown_one(lan: Lan, wires: Wires) -> None:
    """Is not found, in Docker's words."""
    assert 'plugin "nosuch" not found' in refused(lan, "network", "create", "-d", "nosuch", "red")
    said = refused(lan, "network", "create", "--ipam-driver", "nosuch", "red")
    assert 'plugin "nosuch" not found' in said
