"""The pretend machines themselves: apart from the host and from each other, and gone at the end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import CommandFailed, Machine, Switch
from tests.lab.keeper import Keeper, KeeperFailed
from tests.lab.machine import CGROUPS

pytestmark = pytest.mark.root


def test_machines_on_a_switch_reach_each_other() -> None:
    """Two machines ping each other and their gateway by address."""
    with Switch() as switch:
        a, b = switch.machine("a"), switch.machine("b")
        assert str(a.address) == "192.0.2.1"
        for target in (b.address, switch.gateway):
            a.run(["busybox", "ping", "-c", "1", "-W", "5", str(target)])


def test_machines_on_different_switches_do_not() -> None:
    """A switch is a segment of its own, even with the same subnet as another."""
    with Switch() as left, Switch() as right:
        a, b = left.machine("a"), right.machine("b")
        right.plug(b, interface="eth1", default_route=False)
        assert str(b.addresses[1]) == "192.0.2.2"
        assert (
            a.run(["busybox", "ping", "-c", "1", "-W", "1", "192.0.2.2"], check=False).returncode
            == 1
        )


def test_the_host_stays_as_it_was() -> None:
    """Nothing a machine does to links, rules, files or its name is seen outside."""
    before = _host()
    with Switch() as switch:
        machine = switch.machine("quiet")
        machine.shell("""
            ip link add br-x type bridge
            iptables -A INPUT -j ACCEPT
            sysctl -qw net.ipv4.ip_forward=1
            echo 'nameserver 192.0.2.53' >/etc/resolv.conf
            for folder in /etc /etc/docker /run /tmp /var/lib /var/tmp; do
                echo here >$folder/fairlead-lab-was-here
            done
        """)
        assert machine.run(["hostname"]).stdout == "quiet\n"
        assert "eth0" in machine.run(["ls", "/sys/class/net"]).stdout
        during = _host()
    assert before == during == _host()


def test_machines_have_their_own_files() -> None:
    """A path of one machine is readable from the host, and another machine has its own."""
    with Machine("a") as a, Machine("b") as b:
        a.path("/run/note").write_text("from a")
        assert a.run(["cat", "/run/note"]).stdout == "from a"
        assert not b.path("/run/note").exists()


def test_a_machine_sees_the_checkout_and_the_cgroups() -> None:
    """The program under test and the cgroup tree are where they are on the host."""
    with Machine() as machine:
        machine.run(["test", "-f", Path(__file__)])
        assert machine.path("/sys/fs/cgroup").is_dir()
        assert machine.run(["ls", CGROUPS]).stdout.split() == sorted(
            path.name for path in CGROUPS.iterdir()
        )


def test_the_end_of_a_machine_ends_all_its_processes() -> None:
    """Daemonized processes, sessions and nested namespaces go with the machine."""
    with Machine() as machine:
        machine.shell("setsid unshare --pid --net --fork sleep 4711 >/dev/null 2>&1 &")
        waiting = machine.popen(["cat"], stdin=subprocess.PIPE)
        _until(lambda: {"cat", "sleep 4711"} <= set(machine.processes()))
        pids = [int(path.parent.name) for path in _processes_of(machine)]
        assert len(pids) >= 4
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    waiting.communicate(timeout=60)


def test_the_end_of_a_machine_removes_its_cgroups() -> None:
    """A cgroup made in the machine, and still in use there, is gone afterwards."""
    hierarchy = CGROUPS / "pids" if (CGROUPS / "pids").is_dir() else CGROUPS
    cgroup = hierarchy / f"fairlead-lab-{os.getpid()}" / "deep"
    with Machine() as machine:
        machine.shell(f"""
            mkdir -p {cgroup}
            sh -c 'echo $$ >{cgroup}/cgroup.procs; exec sleep 4711' >/dev/null 2>&1 &
            until grep -q . {cgroup}/cgroup.procs; do :; done
        """)
        assert cgroup.is_dir()
    assert not cgroup.parent.exists()


def test_orphans_are_reaped() -> None:
    """A machine's first process leaves no zombies behind."""
    with Machine() as machine:
        machine.shell("sh -c 'sleep 0.01 >/dev/null 2>&1 &'")
        _until(lambda: machine.processes() == [])
        states = [path.read_text().rsplit(")", 1)[1].split()[0] for path in _stats(machine)]
        assert "Z" not in states


def test_a_failing_command_says_everything() -> None:
    """The error names machine, command, status and both outputs."""
    with Machine("a") as machine:
        with pytest.raises(CommandFailed, match=r"(?s)on a: .*status 3.*out.*err"):
            machine.shell("echo out; echo err >&2; exit 3")
        assert machine.shell("exit 3", check=False).returncode == 3


def test_a_command_is_given_its_input() -> None:
    """Text given as stdin arrives, and without any the input is empty."""
    with Machine() as machine:
        assert machine.run(["cat"], stdin="words").stdout == "words"
        assert machine.run(["cat"]).stdout == ""


def test_signals_reach_the_command() -> None:
    """A started command can end in its own way, or be killed."""
    with Machine() as machine:
        polite = machine.popen(["sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; "
                                "while :; do sleep 0.01; done"])  # fmt: skip
        assert polite.stdout is not None
        assert polite.stdout.readline() == "up\n"
        polite.terminate()
        assert polite.communicate(timeout=60)[0] == "bye\n"
        assert polite.returncode == 7

        with pytest.raises(subprocess.TimeoutExpired):
            machine.run(["sleep", "4711"], timeout=0.3)
        assert machine.processes() == []


def test_a_snapshot_is_the_same_until_something_is_configured() -> None:
    """Traffic and time change nothing; each kind of change does, and undoing it restores it."""
    with Switch() as switch:
        a, b = switch.machine("a"), switch.machine("b")
        a.shell("iptables -A INPUT -j ACCEPT\nnft 'add table inet t { chain c { counter; }; }'")
        before = a.snapshot()
        b.run(["busybox", "ping", "-c", "1", str(a.address)])
        assert a.snapshot() == before

        for change, undo in [
            ("ip link add br-x type bridge", "ip link del br-x"),
            ("ip addr add 198.51.100.1/32 dev lo", "ip addr del 198.51.100.1/32 dev lo"),
            ("ip route add 198.51.100.0/24 dev eth0", "ip route del 198.51.100.0/24"),
            ("iptables -I INPUT -p tcp -j DROP", "iptables -D INPUT 1"),
            ("nft add chain inet t d", "nft delete chain inet t d"),
            (
                "nft add rule inet t c drop",
                "nft flush chain inet t c; nft add rule inet t c counter",
            ),
            ("ip netns add x", "ip netns del x"),
            ("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500"),
        ]:
            a.shell(change)
            assert a.snapshot() != before, change
            a.shell(undo)
            if "netns" in change:
                a.shell("umount /run/netns; rmdir /run/netns")
            assert a.snapshot() == before, undo


def test_a_snapshot_does_not_tell_the_order_of_making() -> None:
    """Chains and tables made the other way round are the same configuration."""
    texts = []
    for names in (("a", "b"), ("b", "a")):
        with Machine() as machine:
            for table in names:
                machine.run(["nft", f"add table inet {table}"])
                for chain in names:
                    machine.run(["nft", f"add chain inet {table} {chain} {{ accept; }}"])
            texts.append(machine.snapshot())
    assert texts[0] == texts[1]
    assert texts[0].count("accept") == 4


def test_a_machine_that_cannot_be_furnished_says_why() -> None:
    """The script's own error is in the exception."""
    with pytest.raises(KeeperFailed, match="no such luck"):
        Keeper(("net",), "echo no such luck >&2; false")


def _until(condition: Callable[[], bool], patience_seconds: float = 90) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def _host() -> str:
    """Returns what the machine that runs the tests looks like where a machine could spoil it."""
    commands = (
        "ip -o link; ip -o addr; ip route show table all; ip rule; iptables-save | grep -v ^#;"
        "sysctl net.ipv4.ip_forward; cat /etc/resolv.conf; hostname; cat /proc/self/mountinfo;"
        "ls -d /etc/fairlead* /etc/docker/fairlead* /run/fairlead* /tmp/fairlead-lab-*"
        " /var/lib/fairlead* /var/tmp/fairlead* 2>/dev/null || true"
    )
    done = subprocess.run(
        ["sh", "-c", commands], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def _stats(machine: Machine) -> list[Path]:
    return list(machine.path("/proc").glob("[0-9]*/stat"))


def _processes_of(machine: Machine) -> list[Path]:
    """Returns the host's /proc entries for the processes in the machine's pid namespace."""
    found = []
    depth = len(_namespace_pids(Path(f"/proc/{machine.pid}/status")))
    own = os.readlink(f"/proc/{machine.pid}/ns/uts")
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            deep = len(_namespace_pids(path)) >= depth
            if deep and os.readlink(path.parent / "ns/uts") == own:
                found.append(path)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _namespace_pids(status: Path) -> list[str]:
    line = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
    return line.split()[1:]
