"""`fairlead rotate-keys`, asked of a real daemon: what it says, and what it does to gossip."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gossip.hosts import serf
from tests.lab import Daemon, Machine, Switch
from tests.lab.stores import etcd

pytestmark = pytest.mark.root

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
OTHERS = "openssl-rand-hex-32-or-so-0123456789"


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[Machine, Daemon]]:
    """A member of a cluster of one, with gossip that is encrypted."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        machine = switch.machine()
        server = stack.enter_context(etcd(switch.machine("store")))
        machine.path("/run/overlay.key").write_text(OTHERS)
        daemon = Daemon(
            machine,
            f"--cluster-store={server.url}",
            f"--cluster-advertise={machine.address}:2376",
            f"--cluster-store-opt=fairlead.gossip.key={KEY}",
            "--cluster-store-opt=fairlead.overlay.key=/run/overlay.key",
        )
        # The daemon finds it as it finds any program.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{serf().parent}:{os.environ['PATH']}")
            stack.enter_context(daemon)
        yield machine, daemon


def test_gossip_gets_a_new_key(host: tuple[Machine, Daemon]) -> None:
    """And no other is left; there are no encrypted networks, so there is nothing else to say."""
    machine, daemon = host
    ring = machine.path("/var/lib/fairlead/gossip/keyring.json")
    deadline = time.monotonic() + 60
    done = daemon.fairlead("rotate-keys", check=False)
    while done.returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        # The agent is about to start, or has not met itself yet.
        time.sleep(0.2)
        done = daemon.fairlead("rotate-keys", check=False)
    assert done.stdout == "gossip: a new key\n"
    assert KEY not in ring.read_text()
    assert len(ring.read_text().split('"')) == 3
    for secret in (KEY, OTHERS):
        assert secret not in daemon.log
        assert secret not in str(daemon.api("GET", "/info").json)


def test_without_anything_encrypted(machine: Machine, daemon: Daemon) -> None:
    """One line that says why not."""
    done = daemon.fairlead("rotate-keys", check=False)
    assert done.returncode == 1
    assert "this host is in no cluster" in done.stderr
