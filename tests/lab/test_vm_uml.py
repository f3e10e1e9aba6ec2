"""A file whose tests run in User Mode Linux."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests.lab import Machine, Switch
from tests.lab.vm import INSIDE

KINDS = {"dummy": "", "macvlan": "", "vlan": "id 7", "vxlan": "id 7 dstport 4789 dev eth0"}

pytestmark = [pytest.mark.vm("uml"), pytest.mark.root]


def test_the_test_is_in_the_vm() -> None:
    """Its kernel is another, its user root, and it is told where it is."""
    assert os.environ[INSIDE] == "uml"
    assert platform.release().startswith("6.1.")
    assert os.geteuid() == 0


def test_links_of_every_kind(machine: Machine) -> None:
    """The lab's machines work inside, and can have what the kernel outside may not know."""
    for kind, more in KINDS.items():
        on = "" if kind in ("dummy", "vxlan") else "link eth0"
        machine.shell(f"ip link add {on} name x-{kind} type {kind} {more}")
        assert kind in machine.run(["ip", "-d", "link", "show", f"x-{kind}"]).stdout


def test_machines_reach_each_other(switch: Switch) -> None:
    """Packets cross the lab's switch."""
    a, b = switch.machine("a"), switch.machine("b")
    a.run(["busybox", "ping", "-c", "1", "-W", "5", str(b.address)])


def test_what_is_written_stays_inside() -> None:
    """Files can be written anywhere; the test in `test_vm` finds none of them outside."""
    Path("/etc/fairlead-vm-was-here").write_text("inside")
    assert Path("/etc/fairlead-vm-was-here").read_text() == "inside"


def test_programs_of_the_host_run() -> None:
    """What is installed outside is installed inside."""
    done = subprocess.run(
        ["nft", "--version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert "nftables" in done.stdout
