"""Flows are forgotten exactly: the ones meant, and no others."""

from __future__ import annotations

import socket
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from fairlead.kernel import conntrack
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket
from fairlead.model.step import ForgetFlows
from tests.contract.conftest import private_host  # noqa: F401

pytestmark = pytest.mark.root


def flows() -> set[tuple[str, str]]:
    """Destination address and port of each UDP flow that the kernel remembers."""
    found = set()
    for line in Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines():
        words = dict(w.split("=") for w in reversed(line.split()) if "=" in w)
        if " udp " in f" {line} ":
            found.add((words["dst"], words["dport"]))
    return found


@pytest.fixture
def talk(private_host: None) -> None:  # noqa: F811
    """A machine that tracks connections and has sent three packets to itself."""
    commands = (
        "ip link set lo up; ip addr add 10.7.0.1/24 dev lo; ip addr add 10.7.0.2/24 dev lo;"
        "iptables -A OUTPUT -m conntrack --ctstate NEW"
    )
    subprocess.run(["sh", "-c", commands], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for place in (("10.7.0.1", 5001), ("10.7.0.2", 5001), ("10.7.0.2", 5002)):
            sock.sendto(b"x", place)


@pytest.mark.parametrize(
    ("effect", "left"),
    [
        (ForgetFlows(ip_address("10.7.0.9")), {("10.7.0.1", "5001"), ("10.7.0.2", "5001"), ("10.7.0.2", "5002")}),
        (ForgetFlows(udp_port=5001), {("10.7.0.2", "5002")}),
        (ForgetFlows(udp_port=5002), {("10.7.0.1", "5001"), ("10.7.0.2", "5001")}),
    ],
)  # fmt: skip
def test_what_is_meant_goes(talk: None, effect: ForgetFlows, left: set[tuple[str, str]]) -> None:
    """By port of the host, and by address; the rest is remembered."""
    assert len(flows()) == 3

    with Socket(NETLINK_NETFILTER) as netlink:
        conntrack.forget(netlink, [effect])

    assert flows() == left
