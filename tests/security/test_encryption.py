"""Encrypted networks, between two hosts, by packets: nothing of them is ever in the clear.

The hosts are those of `sealed`.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.cluster import keyring, sealing
from fairlead.driver.wrapping import inside
from fairlead.firewall.policy import Habits
from fairlead.kernel.errors import Refused
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.port import Kernel
from fairlead.model.state import Scope, State
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmState
from fairlead.plan.diff import diff
from tests.firewall import led
from tests.security.sealed import (
    ESP,
    MARKS,
    OPEN,
    SEALED,
    WIRE_BYTES,
    Pair,
    born,
    plain,
    receiver,
    send,
    wanted,
)

pytestmark = [pytest.mark.vm("qemu"), pytest.mark.root]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each host has a folder in which its containers' namespaces are."""
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def both(hosts: Path) -> Iterator[Pair]:
    """Two hosts: making them takes longer than any test."""
    found = Pair(hosts)
    yield found
    found.close()


@pytest.fixture
def pair(both: Pair) -> Iterator[Pair]:
    """Two hosts without any protection, which reach each other over IPv4."""
    both.version = 4
    yield both
    for host in both.hosts:
        host.become({})
    both.heard()


@pytest.mark.parametrize("version", [4, 6])
def test_only_esp_is_on_the_wire(pair: Pair, version: int) -> None:
    """Both ways, in packets that fill it to the last byte; the open network is as it was."""
    pair.version = version
    assert pair.passes(1)
    assert pair.in_the_clear() == {SEALED[version], OPEN[version]}, "nothing to keep secret"

    ring = born(*pair.hosts)
    pair.protect(ring)

    for host in pair.hosts:
        assert host.observe() == wanted(ring, host, version)
    # What a datagram has beside its payload: an IPv4 header, a UDP header, the mark.
    full = inside(WIRE_BYTES, version, encrypted=True) - 20 - 8 - 4
    for sender in (1, 2):
        assert pair.passes(sender, bytes(full))
        assert pair.passes(sender, bytes(full + 1))
    seen = pair.heard()
    assert set(map(plain, seen)) == {0, OPEN[version]}
    sizes = {len(each.payload) + {4: 20, 6: 40}[version] for each in seen if each.protocol == ESP}
    assert max(sizes) == WIRE_BYTES


@pytest.mark.parametrize("version", [4, 6])
def test_without_keys_nothing_leaves_and_nothing_is_let_in(pair: Pair, version: int) -> None:
    """Whichever part of what protects a network is broken."""
    pair.version = version
    ring = born(*pair.hosts)
    one, two = pair.hosts
    pair.protect(ring)
    assert pair.passes(1)

    # Somebody takes the SAs; then the policies, too.
    one.ip("xfrm state flush")
    assert not pair.passes(1)
    one.ip("xfrm policy flush")
    assert not pair.passes(1)
    # Without the rule that looks at what leaves, the refusal of its port is left.
    one.become(wanted(born(one), one, version))
    leave = ("nft-chain", "inet", "fairlead-test", "c_leave")
    one.apply(Step(one.observe()[leave], None))
    assert not pair.passes(1)
    assert pair.in_the_clear() == {OPEN[version]}

    # The other one has nothing of it any more, and sends in the clear.
    two.become({})
    assert not pair.passes(2)
    assert SEALED[version] in pair.in_the_clear(), "it should have tried"


def test_without_any_rule_it_is_closed(pair: Pair) -> None:
    """Somebody flushes the whole firewall: what is secret passes encrypted, or not at all.

    Over IPv6 it is closed as well: `test_tunnels.py`.
    """
    two = pair.hosts[1]
    pair.protect(born(*pair.hosts))
    assert pair.passes(1)

    for host in pair.hosts:
        subprocess.run(["ip", "netns", "exec", host.name, "nft", "flush", "ruleset"], check=True)
    assert pair.passes(1)
    assert pair.passes(2)
    two.ip("xfrm state flush")
    assert not pair.passes(1)
    assert not pair.passes(2)
    assert pair.in_the_clear() == {OPEN[4]}

    two.become({})
    assert not pair.passes(2)
    assert SEALED[4] in pair.in_the_clear(), "it should have tried"


def test_a_turn_loses_nothing(pair: Pair) -> None:
    """After each single step, on one host and then on the other, packets pass both ways."""
    ring = born(*pair.hosts)
    later = keyring.turned(ring, 1, b"d" * 32)
    pair.protect(ring)
    for host in pair.hosts:
        steps = diff(wanted(later, host, 4), host.observe())
        assert len(steps) == 5
        for step in steps:
            host.apply(step)
            assert pair.passes(1), step
            assert pair.passes(2), step
        assert host.observe() == wanted(later, host, 4)
    assert pair.in_the_clear() == {OPEN[4]}


def test_what_was_heard_cannot_be_said_again(pair: Pair) -> None:
    """A packet that is replayed is dropped; so is what a host sends that counts from 1 again.

    Which is why it is born again, and then heard.
    """
    ring = born(*pair.hosts)
    one, two = pair.hosts
    pair.protect(ring)
    pair.heard()
    assert pair.passes(1)
    (sent,) = (seen for seen in pair.heard() if seen.protocol == ESP)
    with receiver(two, SEALED[4]) as again, receiver(two, OPEN[4]) as behind:
        with one.outside.socket(socket.AF_INET, socket.SOCK_RAW, ESP) as raw:
            raw.sendto(sent.payload, (str(two.address(4)), 0))
        send(one, two, OPEN[4], b"behind")
        assert behind.recv(100) == b"behind"
        again.setblocking(False)
        with pytest.raises(BlockingIOError):
            again.recv(100)

    want = wanted(ring, one, 4)
    one.ip("xfrm state flush")
    assert sealing.lost(want, one.observe(), one.address(4))
    one.become(want)
    assert not pair.passes(1)
    pair.protect(keyring.joined(ring, one.address(4), b"later" + bytes(11)))
    assert pair.passes(1)
    assert pair.passes(2)


def test_this_kernel_can(pair: Pair) -> None:
    """The probe says so, and leaves nothing behind."""
    host = pair.hosts[0]
    for version in (4, 6):
        host.on(lambda version=version: host.kernel.check_encryption(version))  # type: ignore[misc]
    assert host.observe() == {}


def test_associations_on_both_kernels(pair: Pair) -> None:
    """Made, told by another program as they were meant, refused twice, removed twice."""
    host = pair.hosts[0]
    ends = (pair.hosts[0].address(6), pair.hosts[1].address(6))
    mine = XfrmState(*ends, 0x12345678, bytes(range(20)))
    kernels: list[Kernel] = [FakeKernel(), host.kernel]
    for kernel in kernels:

        def apply(*steps: Step, kernel: Kernel = kernel) -> None:
            host.on(lambda: kernel.apply(steps))

        def observe(kernel: Kernel = kernel) -> State:
            return host.on(lambda: kernel.observe(Scope()))

        apply(Step(None, mine))
        assert observe() == {mine.key: mine}
        with pytest.raises(Refused, match="xfrm-state"):
            apply(Step(None, mine))
        if kernel is host.kernel:
            said = host.ip("xfrm state")
            for words in (
                f"src {ends[0]} dst {ends[1]}",
                "proto esp spi 0x12345678 reqid 3237998080 mode transport",
                f"aead rfc4106(gcm(aes)) 0x{bytes(range(20)).hex()} 128",
                "flag esn",
            ):
                assert words in said
        apply(Step(mine, None))
        apply(Step(mine, None))
        assert observe() == {}


@pytest.mark.parametrize("habits", [Habits(), Habits(proxied=False)], ids=["usual", "unproxied"])
def test_this_kernel_takes_the_nftables_backend(pair: Pair, habits: Habits, hosts: Path) -> None:
    """Nothing of encryption: it is one of a distribution's, and takes less than newer ones.

    The whole table stands as it was meant, and ranges of published ports lead to containers.
    """
    one, two = pair.hosts
    want = led.wanted(MARKS, habits)
    one.become(want)

    found = one.observe()
    assert {k: v for k, v in found.items() if k[0].startswith("nft")} == {
        k: v for k, v in want.items() if k[0].startswith("nft")
    }
    cases = {(version, *case) for version in (4, 6) for case in led.CASES}
    assert led.answered(two.outside, hosts / one.name) == cases
