"""Addresses that stay with a container while it does not run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.lan import Lan
from tests.docker.tidy import Traces, warmed
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def traces(daemon: Daemon) -> Traces:
    """The machine before anything was done, but for one thing that lasts."""
    return warmed(daemon)


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A network `red` with room for five containers."""
    made = Lan(daemon, neighbour)
    made.create("red", "--subnet 10.5.0.0/29")
    yield made
    traces.none()


def last(lan: Lan, name: str) -> int:
    """The last number of a container's address on `red`."""
    return int(lan.address(name, "red").rpartition(".")[2])


def run(lan: Lan, *names: str) -> None:
    for name in names:
        lan.run(name, "--network red")


def stop(lan: Lan, *names: str) -> None:
    lan.docker("stop", "-t", "0", *names)


def test_a_stopped_container_keeps_its_address(lan: Lan) -> None:
    """Who comes meanwhile gets another one, and it is there again in the order of starting."""
    run(lan, "aa", "bb")
    stop(lan, "aa", "bb")
    assert lan.network("red")["Containers"] == {}
    run(lan, "cc")
    assert last(lan, "cc") == 4
    lan.docker("start", "bb")
    lan.docker("start", "aa")
    assert (last(lan, "aa"), last(lan, "bb")) == (2, 3)


def test_a_removed_container_keeps_nothing(lan: Lan) -> None:
    """The lowest address is free again at once."""
    run(lan, "aa", "bb")
    lan.docker("rm", "-f", "aa")
    run(lan, "cc")
    assert last(lan, "cc") == 2


def test_until_nothing_else_is_left(lan: Lan) -> None:
    """A full pool gives kept addresses away; their container gets another when there is one."""
    run(lan, "aa", "bb")
    stop(lan, "aa")
    run(lan, "cc", "dd", "ee")
    assert [last(lan, name) for name in ("bb", "cc", "dd", "ee")] == [3, 4, 5, 6]
    run(lan, "ff")
    assert last(lan, "ff") == 2
    done = lan.daemon.docker("start", "aa", check=False)
    assert "no available IPv4 addresses on this network's address pools: red" in done.stderr
    lan.docker("rm", "-f", "cc")
    lan.docker("start", "aa")
    assert last(lan, "aa") == 4


def test_an_address_of_choice_is_kept_for_life(lan: Lan) -> None:
    """From the creation on and whatever comes: a full pool is full, and says so."""
    lan.docker(
        "create",
        "--name",
        "aa",
        "--network",
        "red",
        "--ip",
        "10.5.0.2",
        "busybox",
        "sleep",
        "1000000",
    )
    run(lan, "bb", "cc", "dd", "ee")
    assert last(lan, "bb") == 3
    done = lan.daemon.docker("run", "--network", "red", "busybox", "true", check=False)
    assert "no available IPv4 addresses" in done.stderr
    lan.docker("start", "aa")
    stop(lan, "aa")
    lan.docker("start", "aa")
    assert last(lan, "aa") == 2


def test_who_has_it(lan: Lan) -> None:
    """An address that is taken is refused with the name of who has it."""
    run(lan, "aa")
    words = ("run", "--name", "bb", "--network", "red", "--ip", "10.5.0.2", "busybox", "true")
    assert "Address already in use" in lan.daemon.docker(*words, check=False).stderr
    answer = lan.daemon.api("POST", "/containers/bb/start")
    assert answer.status == 403
    assert answer.json["hint"] == "10.5.0.2 belongs to aa"


def test_two_that_chose_the_same(lan: Lan) -> None:
    """Whichever runs has it, so that one may follow the other, as compose has it."""
    words = ("--network", "red", "--ip", "10.5.0.5", "busybox", "sleep", "1000000")
    lan.docker("run", "-d", "--name", "old", *words)
    stop(lan, "old")
    lan.docker("run", "-d", "--name", "new", *words)
    assert last(lan, "new") == 5
    answer = lan.daemon.api("POST", "/containers/old/start")
    assert (answer.status, answer.json["hint"]) == (403, "10.5.0.5 belongs to new")


def test_over_restarts_of_the_daemon(lan: Lan) -> None:
    """What was stopped before the daemon ended has its address after."""
    run(lan, "aa", "bb")
    stop(lan, "aa")
    lan.daemon.kill9()
    lan.daemon.start()
    run(lan, "cc")
    assert last(lan, "cc") == 4
    lan.docker("start", "aa")
    assert last(lan, "aa") == 2


def test_networks_go_all_the_same(lan: Lan) -> None:
    """A stopped container keeps no network from being removed or pruned."""
    lan.create("blue")
    lan.run("aa", "--network blue")
    lan.docker("network", "connect", "red", "aa")
    stop(lan, "aa")
    lan.docker("network", "rm", "blue")
    assert "red" in lan.docker("network", "prune", "-f")


def test_a_network_left_behind(lan: Lan) -> None:
    """Who was disconnected has no claim any more."""
    lan.create("blue")
    run(lan, "aa")
    lan.docker("network", "connect", "blue", "aa")
    lan.docker("network", "disconnect", "red", "aa")
    stop(lan, "aa")
    run(lan, "bb")
    assert last(lan, "bb") == 2


def test_a_mac_address_without_ipv4(lan: Lan) -> None:
    """It is as steady as the one that follows from an IPv4 address."""
    lan.create("six", "--ipv4=false --ipv6 --subnet fd66::/64")
    lan.run("aa", "--network six")
    lan.run("bb", "--network six")
    before = {name: lan.endpoints(name)["six"]["MacAddress"] for name in ("aa", "bb")}
    assert before["aa"] != before["bb"]
    stop(lan, "bb", "aa")
    lan.run("cc", "--network six")
    lan.docker("start", "bb", "aa")
    assert {name: lan.endpoints(name)["six"]["MacAddress"] for name in ("aa", "bb")} == before
    assert lan.endpoints("cc")["six"]["GlobalIPv6Address"] == "fd66::4"
    assert lan.endpoints("aa")["six"]["GlobalIPv6Address"] == "fd66::2"
