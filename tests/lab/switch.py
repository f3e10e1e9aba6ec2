"""A switch: a bridge in a network namespace of its own, with machines plugged into it.

The switch has the last address of its subnet and is every machine's default gateway, though it
leads nowhere: what a machine sends into the world ends there.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import TracebackType
from typing import Self

from tests.lab.keeper import Keeper
from tests.lab.machine import Machine

BRIDGE = "switch"


class Switch:
    """An Ethernet segment, from `with` to the end of its block, and the machines made on it."""

    def __init__(self, subnet: str = "192.0.2.0/24") -> None:
        self.subnet = IPv4Network(subnet)
        self.gateway = self.subnet.broadcast_address - 1
        self._free = self.subnet.hosts()
        self._ports = 0
        self._stack = ExitStack()
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        furnish = f"""
            ip link set lo up
            ip link add {BRIDGE} type bridge
            ip addr add {self.gateway}/{self.subnet.prefixlen} dev {BRIDGE}
            ip link set {BRIDGE} up
        """
        self._keeper = Keeper(("net",), furnish)
        self._stack.callback(self._keeper.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._keeper = None

    def machine(self, name: str = "host") -> Machine:
        """Starts a machine, plugged in as eth0; it ends with the switch at the latest."""
        machine = self._stack.enter_context(Machine(name))
        self.plug(machine)
        return machine

    def plug(
        self, machine: Machine, *, interface: str = "eth0", default_route: bool = True
    ) -> IPv4Address:
        """Joins a machine to the switch and returns its address, the next free one."""
        assert self._keeper is not None, "the switch is off"
        address = next(self._free)
        self._ports += 1
        port = f"port{self._ports}"
        # Both ends are born where they belong: the host never sees either.
        self._ip(
            f"link add {port} master {BRIDGE} up type veth"
            f" peer name {interface} netns {machine.pid}"
        )
        inside = IPv4Interface((address, self.subnet.prefixlen))
        machine.shell(
            f"ip addr add {inside} brd + dev {interface}\nip link set {interface} up\n"
            + (f"ip route add default via {self.gateway}\n" if default_route else "")
        )
        machine.addresses.append(address)
        return address

    def reflect(self, port: str, *, on: bool) -> None:
        """Sends frames back through the port that they came in by, or no longer."""
        self._ip(f"link set {port} type bridge_slave hairpin {'on' if on else 'off'}")

    def _ip(self, words: str) -> None:
        assert self._keeper is not None
        subprocess.run(
            ["nsenter", "--target", str(self._keeper.pid), "--net", "--", "ip", *words.split()],
            check=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
