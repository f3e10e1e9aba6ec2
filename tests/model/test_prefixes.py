"""Lists of networks: what is read is what was meant, or it is refused."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.errors import Invalid
from fairlead.model.prefixes import EGRESS, MOST, destinations, joined, listed, plain, shared
from fairlead.model.state import IPNetwork


def nets(text: str) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, text.split()))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("2001:DB8::/32;192.0.2.7", "192.0.2.7/32 2001:db8::/32"),
        ("10.0.0.0/9, 10.128.0.0/9 10.1.0.0/16", "10.0.0.0/8"),
        ("0.0.0.0/0;::/0", "0.0.0.0/0 ::/0"),
        (" \t10.0.0.0/8 ; ", "10.0.0.0/8"),
    ],
)
def test_what_is_read(text: str, meant: str) -> None:
    """Commas, semicolons and blanks part them; what another holds is not said twice."""
    assert listed(text, "x") == nets(meant)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ";", "any", "none,10.0.0.0/8", "10.0.0.0/33", "10/8", "10.0.0.1/8",
        "10.0.0.0/255.0.0.0", "010.0.0.0/8", "10.0.0.0/8/8", "10.0.0.0/ 8x", "10.0.0.0-10.0.0.9",
        "fe80::1%eth0", "fe80::%eth0/64", "::ffff:10.0.0.0/104", "2001:db8::1/32", "!10.0.0.0/8",
        "10.0.0.0/-1", "１０.0.0.0/8", "10.0.0.0/８", "10.0.0.0/8} accept; {",
        " ".join(f"10.{n // 256}.{n % 256}.1" for n in range(MOST + 1)),
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    """With the option's name, and something to do about it."""
    with pytest.raises(Invalid, match=r"fairlead\.egress"):
        destinations(text)


def test_nowhere() -> None:
    """One word stands for an empty list."""
    assert destinations("none") == ()


@given(st.text())
def test_any_text(text: str) -> None:
    """It is refused, or networks come of it that are written with nothing but digits and signs."""
    try:
        found = listed(text, EGRESS)
    except Invalid:
        return
    assert found
    assert all(set(plain(network)) <= set("0123456789abcdef:./") for network in found)


NETWORKS = st.lists(
    st.one_of(
        st.builds(lambda n, p: ip_network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
        st.builds(lambda n, p: IPv6Network((n, p), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)),
    ),
    max_size=4,
).map(tuple)  # fmt: skip
WHO = st.one_of(
    st.integers(0, 2**32 - 1).map(ip_address), st.sampled_from(["::1", "fe80::1"]).map(ip_address)
)


@given(st.lists(NETWORKS, min_size=1, max_size=3), WHO)
def test_several_lists(lists: list[tuple[IPNetwork, ...]], who: object) -> None:
    """Shared is who is on each, joined who is on any."""
    on = [any(who in network for network in those) for those in lists]
    assert any(who in network for network in shared(lists)) == all(on)
    together = joined(lists)
    assert together is not None
    assert any(who in network for network in together) == any(on)
    assert joined([*lists, None]) is None
