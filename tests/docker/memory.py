"""What machines and containers remember of who has an address."""

from __future__ import annotations

from tests.lab import Daemon, Machine


def running(daemon: Daemon, name: str) -> int:
    """The process of a container."""
    pid: int = daemon.api("GET", f"/containers/{name}/json").json["State"]["Pid"]
    return pid


def remember(machine: Machine, address: str, mac: str, link: str, container: int = 0) -> None:
    """An entry as it is some time after somebody spoke with that address.

    Nobody asks whether it still holds before something is sent there.
    """
    inside = ["nsenter", f"--net=/proc/{container}/ns/net"] if container else []
    words = ["ip", "neigh", "replace", address, "lladdr", mac, "dev", link, "nud", "stale"]
    machine.run([*inside, *words])
