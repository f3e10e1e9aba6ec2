"""Wrapping: what is put around a packet fills the way and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.driver.wrapping import inside


@pytest.mark.parametrize(
    ("outer", "version", "encrypted", "expected"),
    [
        (1500, 4, False, 1450),
        (1500, 6, False, 1430),
        (1500, 4, True, 1416),
        (1500, 6, True, 1396),
        (9000, 4, True, 8916),
    ],
)
def test_usual_sizes(outer: int, version: int, encrypted: bool, expected: int) -> None:
    assert inside(outer, version, encrypted) == expected


@given(st.integers(1280, 65535), st.sampled_from([4, 6]))
def test_encrypted_packets_fit_and_leave_no_room(outer: int, version: int) -> None:
    """The packet on the wire, made from the inside out (RFC 4303, RFC 4106, RFC 7348)."""

    def on_the_wire(mtu: int) -> int:
        datagram = 8 + 8 + 14 + mtu
        padded = -(-(datagram + 2) // 4) * 4
        return {4: 20, 6: 40}[version] + 4 + 4 + 8 + padded + 16

    mtu = inside(outer, version, True)
    assert mtu % 4 == 0
    assert on_the_wire(mtu) <= outer < on_the_wire(mtu + 1)
