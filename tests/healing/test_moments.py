"""What passes in the moment of repair: nothing that our own writes opened."""

from __future__ import annotations

import pytest

from tests.healing.town import LIFE, Town

pytestmark = pytest.mark.root


def arrived(log: str, port: int) -> list[tuple[int, str]]:
    """The numbers of the datagrams that arrived at a port, and who sent them."""
    words = (line.split() for line in log.splitlines())
    return [(int(w[1]), w[2]) for w in words if w[0] == str(port)]


@pytest.mark.parametrize("command", ["iptables -F", "iptables -P FORWARD DROP; iptables -F"])
def test_chains_emptied_behind_a_closed_policy(town: Town, command: str) -> None:
    """While the policy holds, no datagram for an unpublished port arrives, before, in or after."""
    lan = town.lan
    lan.neighbour.shell(f"ip route replace {town.address} via {lan.host.address}")
    known = town.log("web")
    shots = town.shoot(town.address, str(LIFE), str(lan.host.address), "8080")
    with shots:
        for _ in range(2):
            lan.host.shell(command)
            town.settles()
        out, _ = shots.communicate(timeout=30)
    log = town.log("web").removeprefix(known)
    assert int(out) > 100
    assert arrived(log, 80)
    assert arrived(log, LIFE) == []


def test_doors_close_before_they_open(town: Town) -> None:
    """After a flush of everything, what is closed is closed when the first port is open again."""
    lan = town.lan
    lan.neighbour.shell(f"ip route replace {town.address} via {lan.host.address}")
    # What was let through while nobody had rules is not ours to answer for, nor are its flows.
    for _ in range(3):
        known = town.log("web")
        lan.host.shell("nft flush ruleset; conntrack -F 2>/dev/null")
        shots = town.shoot(town.address, str(LIFE), str(lan.host.address), "8080")
        with shots:
            town.settles()
            shots.communicate(timeout=30)
        log = town.log("web").removeprefix(known)
        # Before that, the proxy takes them, and they have another sender.
        led = [shot for shot in arrived(log, 80) if shot[1].endswith(str(lan.neighbour.address))]
        assert led
        assert not [shot for shot in arrived(log, LIFE) if shot > led[0]]
