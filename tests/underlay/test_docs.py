"""What docs/drivers.md shows is done as it stands there, on a machine that is on 192.0.2.0/24."""

from __future__ import annotations

import re

import pytest

from tests.lab import Daemon
from tests.lab.debian import docker_client
from tests.lab.machine import CHECKOUT

pytestmark = pytest.mark.root

PAGE = (CHECKOUT / "docs" / "drivers.md").read_text()
SECTION = PAGE[PAGE.index("## macvlan and ipvlan") :].partition("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", SECTION, flags=re.DOTALL)
ELSEWHERE = ("ipvlan", "eth0.", "dhcp")
HERE = [block for block in BLOCKS if not any(word in block for word in ELSEWHERE)]
LEASED = next(block for block in BLOCKS if "dhcp" in block)


def test_there_are_examples() -> None:
    """Two that any kernel with macvlan can do; what the third asks for `test_kinds_vm` makes.

    For the fourth there has to be a server: `test_dhcp`.
    """
    assert (len(HERE), len(BLOCKS)) == (2, 4)


@pytest.mark.parametrize("block", HERE)
def test_an_example_runs(one: Daemon, block: str) -> None:
    """Its commands succeed, one after the other."""
    run(one, block)


def run(one: Daemon, block: str) -> str:
    """An example as users have it; what it prints."""
    given = {"DOCKER_HOST": "unix:///run/docker.sock", "DOCKER_CONFIG": "/run/docker-client"}
    script = f'docker() {{ {docker_client()} "$@"; }}\nping() {{ busybox ping -W 5 "$@"; }}\n'
    return one.machine.run(["sh", "-euc", script + block], env=given, timeout=120).stdout
