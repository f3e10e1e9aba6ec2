"""What tests of networks on a parent do: make them, run containers there, see who reaches whom."""

from __future__ import annotations

from tests.lab import Daemon, Machine

LAN = "192.0.2.0/24"
ROUTER = "192.0.2.254"
FIRST, SECOND = "192.0.2.128/27", "192.0.2.192/27"
"""What each machine gives to its containers, of the segment's own subnet."""


def create(
    daemon: Daemon, name: str, *options: str, part: str = FIRST, driver: str = "macvlan"
) -> None:
    """A network on eth0 with a part of the segment's subnet."""
    pool = ("--subnet", LAN, "--gateway", ROUTER, "--ip-range", part)
    daemon.docker("network", "create", "-d", driver, "-o", "parent=eth0", *pool, *options, name)


def run(daemon: Daemon, name: str, net: str, *options: str) -> str:
    """A container that sleeps; its address there."""
    words = ("run", "-d", "--name", name, "--network", net, *options)
    daemon.docker(*words, "busybox", "sleep", "1000000")
    return address(daemon, name, net)


def address(daemon: Daemon, name: str, net: str, key: str = "IPAddress") -> str:
    """What `inspect` says of a container on a network."""
    text = f'{{{{(index .NetworkSettings.Networks "{net}").{key}}}}}'
    return daemon.docker("inspect", "-f", text, name).stdout.strip()


def pings(daemon: Daemon, name: str, target: str, seconds: int = 10) -> bool:
    """Whether a container reaches an address or a name: one answer is enough."""
    script = f"for _ in $(seq {seconds}); do ping -c 1 -W 1 {target} && exit; done; exit 1"
    return daemon.docker("exec", name, "sh", "-c", script, check=False).returncode == 0


def host_pings(machine: Machine, target: str, seconds: int = 10) -> bool:
    """Whether a machine reaches an address."""
    script = f"for _ in $(seq {seconds}); do busybox ping -c 1 -W 1 {target} && exit; done; exit 1"
    return machine.shell(script, check=False).returncode == 0


def cut(daemon: Daemon, name: str, target: str) -> bool:
    """Whether a container does not reach an address."""
    return not pings(daemon, name, target, 2)


def inside(daemon: Daemon, name: str, script: str) -> str:
    """What a script in a container prints."""
    return daemon.docker("exec", name, "sh", "-c", script).stdout


def refused(daemon: Daemon, *words: str) -> str:
    """What docker says when it fails."""
    done = daemon.docker(*words, check=False)
    assert done.returncode != 0, f"{' '.join(words)} was not refused"
    return done.stderr.strip()
