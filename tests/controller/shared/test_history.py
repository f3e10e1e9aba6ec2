"""What is known of addresses outlives a daemon, and what cannot be kept is told."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from fairlead.cluster.pools import PoolId
from fairlead.controller.shared import history
from fairlead.controller.shared.history import QUARANTINE_SECONDS, History
from fairlead.store.trail import Trail

POOL = PoolId(ip_network("10.0.0.0/24"))


class Daemons:
    """Daemons of one host, one after the other; time passes for all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self.now = 1_000_000.0
        self.set_by = 0.0
        """How far somebody has set the host's clock since."""

    def start(self) -> History:
        """The next one."""
        trail = Trail(self.path, self.warnings.append)
        return History(lambda: self.now - 5, trail, lambda: self.now + self.set_by)


@pytest.fixture
def daemons(tmp_path: Path) -> Daemons:
    """A host on which no daemon was yet."""
    return Daemons(tmp_path / "cluster" / "addresses")


def end(number: int) -> str:
    return f"10.0.0.{number}/24"


def test_a_daemon_goes_on_where_the_last_one_was(daemons: Daemons) -> None:
    """What was given last, and what rests, with the time that it has rested."""
    first = daemons.start()
    for number in (2, 3, 4):
        first.given(ip_interface(end(number)))
    first.released(ip_interface(end(3)))
    daemons.now += QUARANTINE_SECONDS - 10
    first.released(ip_interface(end(4)))
    first.given(ip_interface(end(5)))
    # Nothing is done at its end: it may be killed.
    second = daemons.start()
    assert second.last(POOL) == ip_address("10.0.0.5")
    assert second.resting() == (ip_address("10.0.0.3"), ip_address("10.0.0.4"))
    daemons.now += 11
    assert second.resting() == daemons.start().resting() == (ip_address("10.0.0.4"),)
    daemons.now += QUARANTINE_SECONDS
    assert daemons.start().resting() == ()
    assert daemons.warnings == []


def test_who_has_it_again_is_not_released(daemons: Daemons) -> None:
    """An address that somebody got does not rest, for the next daemon either."""
    first = daemons.start()
    first.given(ip_interface(end(9)))
    first.released(ip_interface(end(9)))
    first.given(ip_interface(end(9)))
    assert first.resting() == daemons.start().resting() == ()


def test_what_is_found_does_not_change_the_order(daemons: Daemons) -> None:
    """What others have since nobody knows when is below what was seen to be given, or after it."""
    first = daemons.start()
    first.given(ip_interface(end(7)))
    second = daemons.start()
    for number in (3, 7, 5):
        second.found(ip_interface(end(number)))
    assert second.last(POOL) == ip_address("10.0.0.7")
    second.found(ip_interface(end(9)))
    assert second.last(POOL) == ip_address("10.0.0.9")


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set(daemons: Daemons, hours: int) -> None:
    """Set back, what rests does so no longer than it should; set forward, it rests no more."""
    daemons.start().released(ip_interface(end(2)))
    daemons.set_by = hours * 3600.0
    again = daemons.start()
    assert again.resting() == ((ip_address("10.0.0.2"),) if hours < 0 else ())
    daemons.now += QUARANTINE_SECONDS + 1
    assert again.resting() == ()


def test_a_trail_that_was_spoilt(daemons: Daemons) -> None:
    """Lines that say nothing are left out, the others are not."""
    daemons.start().released(ip_interface(end(2)))
    with daemons.path.open("ab") as file:
        file.write(b"\xff\x00 - nonsense\nx\n1000000 ? 10.0.0.3/24\n1000000 - 10.0.0.4/2")
    assert daemons.start().resting() == (ip_address("10.0.0.2"),)


def test_a_trail_does_not_grow_for_ever(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no longer of use goes while a daemon runs, and with its end."""
    monkeypatch.setattr(history, "MOST", 20)
    first = daemons.start()
    for number in range(200):
        first.given(ip_interface(end(2 + number % 100)))
        first.released(ip_interface(end(2 + number % 100)))
    assert len(daemons.path.read_text().splitlines()) <= 41
    assert daemons.start().resting() == first.resting()
    assert len(daemons.path.read_text().splitlines()) == 21


def test_a_trail_that_cannot_be_written(daemons: Daemons) -> None:
    """It is told once, and the daemon goes on with what it knows."""
    daemons.path.parent.write_text("a file where the folder should be")
    first = daemons.start()
    first.given(ip_interface(end(2)))
    first.released(ip_interface(end(2)))
    assert first.resting() == (ip_address("10.0.0.2"),)
    assert len(daemons.warnings) in (1, 2)
    assert all(str(daemons.path) in warning for warning in daemons.warnings)
