"""Sidecars: containers that share the network of another, whatever becomes of that other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """Networks `red` and `blue`; `app` is on both and published, `car` is its sidecar."""
    made = Lan(daemon, neighbour)
    for name in ("red", "blue"):
        made.create(name)
    made.serve("app", "tcp:80", "--network red -p 8080:80")
    made.docker("network", "connect", "blue", "app")
    made.tools("car", "--network container:app")
    made.serve("peer", "tcp:80", "--network red")
    yield made
    traces.none()


def namespace(lan: Lan, name: str) -> str:
    """The network namespace of a container, as the kernel calls it."""
    return lan.inside(name, "readlink /proc/self/ns/net").strip()


def interfaces(lan: Lan, name: str) -> set[str]:
    """The names of the interfaces that a container has."""
    lines = lan.inside(name, "ip -o link").splitlines()
    return {line.split()[1].rstrip(":").split("@")[0] for line in lines}


def seen(lan: Lan) -> str:
    """Asks the published port from the neighbour; the name of who answers."""
    words = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080"]
    return lan.neighbour.run(words).stdout.split()[-1]


def whole(lan: Lan, space: str, addresses: dict[str, str]) -> None:
    """The sidecar has the networks of its owner, in the namespace that it always had."""
    assert namespace(lan, "car") == namespace(lan, "app") == space
    assert interfaces(lan, "car") == {"lo", "eth0", "eth1"}
    assert {net: lan.address("app", net) for net in addresses} == addresses
    assert lan.ask("car", "tcp", "peer", 80).endswith(" peer")
    assert lan.dig("car", "peer").found == [lan.address("peer", "red")]
    assert lan.ask("peer", "tcp", "app", 80).endswith(" app")
    assert lan.ask("car", "tcp", "127.0.0.1", 80).endswith(" app")
    eventually(lambda: seen(lan) == "app")


def places(lan: Lan) -> dict[str, str]:
    """The addresses of `app` by network."""
    return {net: lan.address("app", net) for net in ("red", "blue")}


def ready(lan: Lan, times: int) -> None:
    """Waits until the server of `app` has begun for the last time."""
    logs = "/containers/app/logs?stdout=1"
    eventually(lambda: lan.daemon.api("GET", logs).body.count(b"ready") == times)


def test_the_owner_restarts(lan: Lan) -> None:
    """The sidecar goes on, and sees names, addresses and ports again in its own namespace."""
    space, addresses = namespace(lan, "car"), places(lan)
    started = lan.docker("inspect", "-f", "{{.State.StartedAt}}", "car")
    lan.docker("restart", "-t", "0", "app")
    ready(lan, 2)
    whole(lan, space, addresses)
    assert lan.docker("inspect", "-f", "{{.State.StartedAt}}", "car") == started


def test_the_owner_is_away_for_a_while(lan: Lan) -> None:
    """Meanwhile the sidecar has only its loopback, and the networks are free to go."""
    space, addresses = namespace(lan, "car"), places(lan)
    lan.docker("stop", "-t", "0", "app")
    assert interfaces(lan, "car") == {"lo"}
    assert lan.ask("car", "tcp", "127.0.0.1", 80) == "refused"
    settings = lan.daemon.api("GET", "/containers/app/json").json["NetworkSettings"]
    assert (settings["SandboxID"], settings["SandboxKey"]) == ("", "")
    assert "app" not in {c["Name"] for c in lan.network("red")["Containers"].values()}
    lan.docker("start", "app")
    ready(lan, 2)
    whole(lan, space, addresses)


def test_the_owner_ends_by_itself(lan: Lan) -> None:
    """A restart policy does the same as a person."""
    lan.docker("update", "--restart", "always", "app")
    space, addresses = namespace(lan, "car"), places(lan)
    pid = lan.docker("inspect", "-f", "{{.State.Pid}}", "app").strip()
    lan.host.run(["kill", "-9", pid])
    ready(lan, 2)
    whole(lan, space, addresses)


def test_the_daemon_restarts_in_between(lan: Lan) -> None:
    """While the owner is away, and also if it ends while no daemon looks."""
    space, addresses = namespace(lan, "car"), places(lan)
    lan.docker("stop", "-t", "0", "app")
    lan.daemon.kill9()
    lan.daemon.start()
    assert interfaces(lan, "car") == {"lo"}
    lan.docker("start", "app")
    ready(lan, 2)
    whole(lan, space, addresses)

    pid = lan.docker("inspect", "-f", "{{.State.Pid}}", "app").strip()
    lan.daemon.kill9()
    lan.host.run(["kill", "-9", pid])
    lan.daemon.start()
    assert interfaces(lan, "car") == {"lo"}
    lan.docker("start", "app")
    ready(lan, 3)
    whole(lan, space, addresses)


def test_chains(lan: Lan) -> None:
    """Who shares with one that shares is with the first; the middle one may go."""
    space, addresses = namespace(lan, "car"), places(lan)
    lan.tools("second", "--network container:car")
    lan.docker("rm", "-f", "car")
    lan.docker("restart", "-t", "0", "app")
    ready(lan, 2)
    assert namespace(lan, "second") == space
    assert lan.ask("second", "tcp", "peer", 80).endswith(" peer")
    lan.docker("stop", "-t", "0", "app")
    lan.tools("car", "--network container:second")
    lan.docker("start", "app")
    ready(lan, 3)
    whole(lan, space, addresses)


def test_the_owner_is_removed(lan: Lan) -> None:
    """The sidecar lives on alone; what it lived in goes with it."""
    space = namespace(lan, "car")
    lan.docker("rm", "-f", "app")
    lan.docker("network", "rm", "blue")
    assert namespace(lan, "car") == space
    assert interfaces(lan, "car") == {"lo"}
    lan.daemon.kill9()
    lan.daemon.start()
    assert namespace(lan, "car") == space
    pinned = ["ls", "/run/fairlead/netns"]
    assert len(lan.host.run(pinned).stdout.split()) == 2
    lan.docker("rm", "-f", "car")
    eventually(lambda: len(lan.host.run(pinned).stdout.split()) == 1)


def test_the_last_one_out(lan: Lan) -> None:
    """The owner stops, then the sidecar: nothing is left, and both can begin anew."""
    pinned = ["ls", "/run/fairlead/netns"]
    lan.docker("stop", "-t", "0", "app")
    lan.docker("stop", "-t", "0", "car")
    assert len(lan.host.run(pinned).stdout.split()) == 1
    lan.docker("start", "app")
    lan.docker("start", "car")
    ready(lan, 2)
    whole(lan, namespace(lan, "app"), places(lan))


def test_a_start_that_fails(lan: Lan) -> None:
    """An owner that cannot start leaves its sidecar as it was, and may try again."""
    space, addresses = namespace(lan, "car"), places(lan)
    lan.docker("stop", "-t", "0", "app")
    lan.run("thief", "-p 8080:80")
    done = lan.daemon.docker("start", "app", check=False)
    assert "port is already allocated" in done.stderr
    assert interfaces(lan, "car") == {"lo"}
    lan.docker("rm", "-f", "thief")
    lan.docker("start", "app")
    ready(lan, 2)
    whole(lan, space, addresses)


def test_the_host_goes_down(lan: Lan) -> None:
    """What is to run always is there again, the owner first, then who shares, then who shares theirs."""
    lan.tools("second", "--network container:car")
    names = ("app", "car", "second")
    lan.docker("update", "--restart", "always", *names)
    pids = lan.docker("inspect", "-f", "{{.State.Pid}}", *names).split()
    lan.daemon.kill9()
    lan.host.run(["kill", "-9", *pids])
    lan.daemon.start()
    eventually(lambda: set(names) <= set(lan.docker("ps", "--format", "{{.Names}}").split()))
    ready(lan, 2)
    whole(lan, namespace(lan, "second"), places(lan))


def test_its_files(lan: Lan) -> None:
    """A sidecar has the files of its owner, also when they are copied out of it."""
    for path in ("/etc/hosts", "/etc/resolv.conf"):
        assert lan.inside("car", f"cat {path}") == lan.inside("app", f"cat {path}")
    for key in ("HostsPath", "ResolvConfPath", "HostnamePath"):
        shown = lan.docker("inspect", "-f", "{{." + key + "}}", "app", "car").split()
        assert shown[0] == shown[1]
    copied = "/run/copied-hosts"
    lan.docker("cp", "car:/etc/hosts", copied)
    assert lan.host.run(["cat", copied]).stdout == lan.inside("app", "cat /etc/hosts")
    before = lan.inside("car", "cat /etc/hosts")
    lan.create("green")
    lan.docker("network", "connect", "green", "app")
    assert lan.inside("car", "cat /etc/hosts") == before + f"{lan.address('app', 'green')}\tapp\n"
    lan.docker("network", "disconnect", "green", "app")
    assert lan.inside("car", "cat /etc/hosts") == before


def test_everybody_at_once(lan: Lan) -> None:
    """Owner and sidecars started, stopped and killed by four at a time: never a fault of ours."""
    lan.tools("second", "--network container:app")
    answers: list[tuple[str, str, int, bytes]] = []

    def clicks(seed: int, names: tuple[str, ...]) -> None:
        draw = random.Random(seed)
        for _ in range(12):
            name = draw.choice(names)
            verb = draw.choice(("restart?t=0", "stop?t=0", "start", "kill"))
            answer = lan.daemon.api("POST", f"/containers/{name}/{verb}")
            answers.append((name, verb, answer.status, answer.body))

    groups = (("app",), ("car", "second"), ("car", "app"), ("second", "app"))
    with ThreadPoolExecutor(len(groups)) as pool:
        for done in [pool.submit(clicks, *each) for each in enumerate(groups)]:
            done.result()
    assert [answer for answer in answers if answer[2] >= 500] == []
    for name in ("app", "car", "second"):
        assert lan.daemon.api("POST", f"/containers/{name}/start").status in (204, 304)
    assert lan.ask("second", "tcp", "peer", 80).endswith(" peer")
    assert len(lan.host.run(["ls", "/run/fairlead/netns"]).stdout.split()) == 2
