"""Real agents on hosts of one switch: what is told is heard, whoever dies, and by members only."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator

import pytest

from tests.gossip.forgery import flood, user_event
from tests.gossip.hosts import FOLDER, NETWORK, Host, Town, eventually, serf
from tests.lab import Switch

pytestmark = pytest.mark.root

KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 16).decode()


@pytest.fixture
def town(switch: Switch) -> Iterator[Town]:
    """A place for hosts."""
    with Town(switch) as made:
        yield made


@pytest.fixture
def hosts(town: Town) -> tuple[Host, Host]:
    """Two that have met."""
    one, two = town.host("one"), town.host("two")
    one.meets(two)
    return one, two


@pytest.fixture(scope="module")
def secret() -> Iterator[tuple[Host, Host, Town]]:
    """Two that have met and encrypt, and where."""
    with Switch() as switch, Town(switch) as town:
        one, two = town.host("one", key=KEY), town.host("two", key=KEY)
        one.meets(two)
        yield one, two, town


def endpoint(number: int) -> str:
    """The id of an endpoint that a host tells of."""
    return f"{number:064x}"


def test_events_go_both_ways_in_dockers_words(hosts: tuple[Host, Host]) -> None:
    """What one tells the other hears, in order; the words are those of Docker 20.10."""
    one, two = hosts
    plain = json.loads(two.machine.path(f"{FOLDER}/agent.json").read_text())
    way_in = [f"-rpc-addr={plain['rpc_addr']}", f"-rpc-auth={plain['rpc_auth']}"]
    with two.machine.popen([serf(), "monitor", *way_in]) as monitor:
        assert monitor.stdout is not None
        # The agent's log so far, after which it tells of what comes.
        next(line for line in monitor.stdout if "agent.ipc: Accepted client" in line)
        one.tell(one.event(1))
        heard = two.hears("JOIN", endpoint=endpoint(1))
        seen = ""
        for line in monitor.stdout:
            seen += line
            if "Name:" in seen and "Payload:" in seen:
                break
        monitor.kill()
    assert heard["address"] == "10.0.0.1/24"
    assert heard["mac"] == "02:42:0a:00:00:01"
    assert heard["host"] == str(one.address)
    assert f'Name: "jl {one.address} {NETWORK} {endpoint(1)}"' in seen
    numbers = re.search(r"Payload: \[\]byte\{(.*?)\}", seen)
    assert numbers is not None
    payload = bytes(int(number, 16) for number in numbers[1].split(", "))
    assert payload == b"join 10.0.0.1 255.255.255.0 02:42:0a:00:00:01"

    two.tell(two.event(2), two.event(2, joined=False))
    one.hears("LEAVE", endpoint=endpoint(2))
    assert not one.heard("JOIN", host=str(one.address)), "nobody hears himself"


def test_events_are_heard_by_all(hosts: tuple[Host, Host], town: Town) -> None:
    """Three hosts, and one that starts some containers."""
    one, two = hosts
    three = town.host("three")
    three.meets(one)
    three.sees(two)
    one.tell(*(one.event(number) for number in range(1, 21)))
    for host in (two, three):
        for number in range(1, 21):
            host.hears("JOIN", endpoint=endpoint(number))


def test_a_dead_host_is_noticed_and_comes_back_by_itself(hosts: tuple[Host, Host]) -> None:
    """Killed with its agent it has failed; started again it finds the others from its snapshot."""
    one, two = hosts
    pid = one.agent_pid()
    one.end(kill=True)
    one.machine.run(["kill", "-9", str(pid)])
    failed = two.hears("FAILED")
    assert failed["address"] == str(one.address)
    assert one.name not in two.alive()

    before = len(two.heard("JOINED"))
    one.start()
    eventually(lambda: len(two.heard("JOINED")) > before, "it is back")
    one.hears("JOINED", address=str(two.address))
    two.tell(two.event(3))
    one.hears("JOIN", endpoint=endpoint(3))


def test_who_leaves_says_so(hosts: tuple[Host, Host]) -> None:
    """Others hear of it at once, and the agent is gone."""
    one, two = hosts
    one.do("stop")
    assert two.hears("LEFT")["address"] == str(one.address)
    assert not two.heard("FAILED")
    eventually(lambda: "agent.json" not in " ".join(one.machine.processes()), "the agent is gone")


def test_an_agent_outlives_the_daemon(hosts: tuple[Host, Host]) -> None:
    """The daemon's side is killed: the agent goes on, and the next one finds it."""
    one, two = hosts
    pid = one.agent_pid()
    one.end(kill=True)
    assert f"{FOLDER}/agent.json" in " ".join(one.machine.processes())
    one.start()
    one.hears("JOINED", address=str(two.address))
    assert one.agent_pid() == pid
    two.tell(two.event(4))
    one.hears("JOIN", endpoint=endpoint(4))
    one.tell(one.event(5))
    two.hears("JOIN", endpoint=endpoint(5))
    assert not two.heard("FAILED")
    assert not two.heard("LEFT")


def test_an_agent_that_dies_is_started_again(hosts: tuple[Host, Host]) -> None:
    """It is told of, finds the others again, and nobody is said to be gone meanwhile."""
    one, two = hosts
    pid = one.agent_pid()
    one.machine.run(["kill", "-9", str(pid)])
    one.reports("gossip: the agent has ended")
    eventually(lambda: one.agent_pid() != pid and one.ready(), "there is a new one")
    one.sees(two)
    # What is told while it is away waits for it.
    one.tell(one.event(6))
    two.hears("JOIN", endpoint=endpoint(6))
    two.tell(two.event(7))
    one.hears("JOIN", endpoint=endpoint(7))
    assert not one.heard("FAILED") + one.heard("LEFT") + one.heard("REAPED")


def test_an_agent_that_hangs_is_replaced(hosts: tuple[Host, Host]) -> None:
    """One that lives and does not answer is ended, after some patience."""
    one, _ = hosts
    pid = one.agent_pid()
    one.end()
    one.machine.run(["kill", "-STOP", str(pid)])
    one.machine.path(f"{FOLDER}/agent.json").write_text("not what it was")
    one.start()
    eventually(lambda: one.agent_pid() != pid and one.ready(), "there is a new one", 180)


def test_a_change_of_settings_is_another_agent(hosts: tuple[Host, Host]) -> None:
    """Another name: the old one leaves, and others know the host by its new one."""
    one, two = hosts
    pid = one.agent_pid()
    one.end()
    one.name = "renamed-1234abcd"
    one.start()
    one.sees(two)
    two.sees(one)
    assert one.agent_pid() != pid
    assert not two.heard("FAILED")


def test_erasing_leaves_nothing(hosts: tuple[Host, Host]) -> None:
    """No process and no file."""
    one, _ = hosts
    one.do("erase")
    assert not one.machine.path(FOLDER).exists()
    assert "agent.json" not in " ".join(one.machine.processes())


def test_equal_names_are_reported_in_one_clear_line(town: Town) -> None:
    """A copied host: both are told apart by address, and neither agent is brought down."""
    one, two = town.host("one", name="twin"), town.host("two", name="twin")
    pids = one.agent_pid(), two.agent_pid()
    two.attempt("join", addresses=[str(one.address)])
    line = two.reports(f"the host at {one.address} has our name, 'twin'")
    assert "\n" not in line
    assert (one.agent_pid(), two.agent_pid()) == pids
    assert one.ready()
    assert two.ready()


def test_only_who_has_the_key_gets_in(secret: tuple[Host, Host, Town]) -> None:
    """Another key, or none: no member, an error that says what to look at, and a report."""
    one, _, town = secret
    for name, key in (("stranger", OTHER_KEY), ("naked", "")):
        outsider = town.host(name, key=key)
        reply = outsider.attempt("join", addresses=[str(one.address)])
        assert "no other host was met" in reply["error"]
        assert "keys equal" in reply["hint"]
        assert one.reports(f"{outsider.address} has another key")
        assert outsider.name not in one.alive()
        assert outsider.alive() == {outsider.name}
    assert "not encrypted" not in one.do("in_use")
    assert "encrypted" in one.do("in_use")


def test_keys_are_nobody_elses(secret: tuple[Host, Host, Town]) -> None:
    """Nothing in the folder can be read by others, and no key is on a command line."""
    one, _, _ = secret
    folder = one.machine.path(FOLDER)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"keyring.json", "agent.json", "snapshot"}
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    assert folder.stat().st_mode & 0o077 == 0
    processes = [line for line in one.machine.processes() if "agent.json" in line]
    assert processes
    assert KEY not in " ".join(processes)


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_forged_event_of_a_member(
    encrypted: bool, secret: tuple[Host, Host, Town], town: Town
) -> None:
    """Without encryption who reaches the port can speak as a member; with it nobody is fooled."""
    if encrypted:
        one, two, town = secret
    else:
        one, two = town.host("one"), town.host("two")
        one.meets(two)
    intruder = town.switch.machine("intruder")
    forged = one.event(66)
    flood(intruder, two.address, user_event(forged, 50))
    one.tell(one.event(67))
    two.hears("JOIN", endpoint=endpoint(67))
    if encrypted:
        # The true event came later, on the way that the forged one would have taken.
        assert not two.heard("JOIN", endpoint=endpoint(66))
    else:
        two.hears("JOIN", endpoint=endpoint(66))


def test_who_is_no_member_is_not_heard(hosts: tuple[Host, Host], switch: Switch) -> None:
    """An event in the name of a host that nobody has met is dropped, and told of."""
    one, two = hosts
    intruder = switch.machine("intruder")
    forged = {**one.event(66), "host": str(intruder.address)}
    flood(intruder, two.address, user_event(forged, 50))
    two.reports(f"{intruder.address} is no member")
    own = {**two.event(68), "host": str(two.address)}
    flood(intruder, two.address, user_event(own, 51))
    one.tell(one.event(67))
    two.hears("JOIN", endpoint=endpoint(67))
    assert not two.heard("JOIN", endpoint=endpoint(66))
    assert not two.heard("JOIN", endpoint=endpoint(68)), "nobody speaks for ourselves"


def test_nonsense_is_refused_and_told_of(hosts: tuple[Host, Host]) -> None:
    """A member that sends events of our kind with other words: refused, once reported."""
    one, two = hosts
    one.serf("event", "-coalesce=false", f"jl {one.address} x y", "join")
    one.serf("event", "-coalesce=false", "deploy", "of somebody else")
    two.reports("an event was refused")
    one.tell(one.event(8))
    two.hears("JOIN", endpoint=endpoint(8))
    assert not [line for line in two.lines if "deploy" in str(line)]


def test_garbage_on_the_port_of_the_rpc(hosts: tuple[Host, Host]) -> None:
    """The agent goes on, and without its word nobody is obeyed."""
    one, two = hosts
    plain = json.loads(one.machine.path(f"{FOLDER}/agent.json").read_text())
    port = plain["rpc_addr"].rpartition(":")[2]
    assert plain["rpc_addr"].startswith("127.0.0.1:")
    one.machine.shell(
        f"head -c 100000 /dev/urandom | timeout 5 busybox nc 127.0.0.1 {port} >/dev/null || true"
    )
    refused = one.machine.run(
        [serf(), "leave", f"-rpc-addr={plain['rpc_addr']}", "-rpc-auth=guess"], check=False
    )
    assert refused.returncode != 0
    one.tell(one.event(9))
    two.hears("JOIN", endpoint=endpoint(9))


def test_keys_are_rotated_across_the_cluster(town: Town) -> None:
    """All hosts have the new key alone, go on hearing each other, and keep it when they restart."""
    one, two = town.host("one", key=KEY), town.host("two", key=KEY)
    one.meets(two)
    assert one.do("keys") == {KEY: 2}
    one.do("rotate", key=OTHER_KEY)
    assert two.do("keys") == {OTHER_KEY: 2}
    one.tell(one.event(10))
    two.hears("JOIN", endpoint=endpoint(10))

    # Agents are started with what rotation left, though the option still names the first key.
    pid = two.agent_pid()
    two.machine.run(["kill", "-9", str(pid)])
    eventually(lambda: two.agent_pid() != pid and two.ready(), "there is a new one")
    two.sees(one)
    one.tell(one.event(11))
    two.hears("JOIN", endpoint=endpoint(11))
    refused = one.attempt("rotate", key="bm90IGEga2V5")
    assert "install-key" in refused["error"]
    assert one.do("keys") == {OTHER_KEY: 2}


def test_another_program_of_this_name_is_not_taken(switch: Switch) -> None:
    """Only HashiCorp's serf will do; without it there is no gossip, and that is said."""
    machine = switch.machine("one")
    false = machine.path("/run/serf")
    false.write_text("#!/bin/sh\necho something else 1.0\n")
    false.chmod(0o755)
    script = (
        "from pathlib import Path; from ipaddress import ip_address\n"
        "from fairlead.gossip.agent import agent; from fairlead.gossip.gossip import in_use\n"
        "from fairlead.gossip.process import Settings\n"
        "found = agent(Path('/run/x'), Settings('x', ip_address('192.0.2.1')), print)\n"
        "print(in_use(found))"
    )
    done = machine.run([sys.executable, "-c", script], env={"PATH": "/run:/usr/bin:/bin"})
    assert done.stdout.strip() == "the store alone (serf is not installed)"
