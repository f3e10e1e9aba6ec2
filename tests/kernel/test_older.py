"""Names led to the resolver by the older iptables, as on kernels without nf_tables."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from fairlead.kernel import nft, older
from tests.contract.conftest import private_host

pytestmark = pytest.mark.root
__all__ = ["private_host"]

RESOLVER = "127.0.0.11"
FOREIGN = "-A OUTPUT -d 192.0.2.1/32 -j ACCEPT"


@pytest.fixture
def resolver(private_host: None) -> Iterator[socket.socket]:
    """What listens for names, on a port of its own; in `nat` there is a rule of somebody's."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["iptables-legacy", "-t", "nat", *FOREIGN.split()], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((RESOLVER, 0))
        sock.settimeout(10)
        yield sock


def asked() -> socket.socket:
    """A question to the resolver where everybody looks for it; another sender each time."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((RESOLVER, 53))
    sock.settimeout(10)
    sock.send(b"who?")
    return sock


def table() -> list[str]:
    """The rules of `nat`."""
    said = subprocess.run(
        ["iptables-legacy-save", "-t", "nat"], capture_output=True, text=True, check=True
    )
    return [line for line in said.stdout.splitlines() if line.startswith("-A")]


def test_questions_are_led_and_answered(resolver: socket.socket) -> None:
    """Who asks at port 53 hears from there, as often as it is arranged."""
    for _ in range(2):
        older.redirect(resolver.getsockname()[1])
        with asked() as asker:
            question, whence = resolver.recvfrom(64)
            resolver.sendto(question + b" me", whence)
            assert asker.recv(64) == b"who? me"
    assert nft.redirected()
    assert len([rule for rule in table() if rule.startswith("-A OUTPUT")]) == 2


def test_straight_again(resolver: socket.socket) -> None:
    """Then nobody listens at port 53, and what was somebody's in the table is left."""
    older.redirect(resolver.getsockname()[1])
    nft.straight()
    with asked() as asker, pytest.raises(ConnectionRefusedError):
        asker.recv(64)
    assert not nft.redirected()
    assert table() == [FOREIGN]


def test_straight_already(resolver: socket.socket) -> None:
    """Where nothing was led nothing is taken away."""
    nft.straight()
    assert table() == [FOREIGN]
