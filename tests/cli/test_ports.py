"""-p, --expose and the PORTS column."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli import ports

PORT = st.integers(1, 65535)


def test_each_form_of_publishing() -> None:
    """The forms of -p bind what their table says."""
    specs = ["80", "8080:81", "127.0.0.1::82/udp", "[::1]:8083:83/SCTP"]
    specs.append("published=8084,target=84,protocol=udp")
    exposed, bindings = ports.published(specs)
    assert bindings == {
        "80/tcp": [{"HostIp": "", "HostPort": ""}],
        "81/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "82/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "83/sctp": [{"HostIp": "::1", "HostPort": "8083"}],
        "84/udp": [{"HostIp": "", "HostPort": "8084"}],
    }
    assert exposed.keys() == bindings.keys()


@given(first=st.integers(1, 60000), outer=st.integers(1, 60000), count=st.integers(1, 50))
def test_ranges_of_one_length_map_one_to_one(first: int, outer: int, count: int) -> None:
    """8000-8002:80-82 binds 8000 to 80, 8001 to 81 and 8002 to 82."""
    last = first + count - 1
    _, bindings = ports.published([f"{outer}-{outer + count - 1}:{first}-{last}"])
    expected = {
        f"{first + i}/tcp": [{"HostIp": "", "HostPort": str(outer + i)}] for i in range(count)
    }
    assert bindings == expected


def test_one_port_may_take_the_first_free_of_a_range() -> None:
    """9000-9010:80 leaves the choice to the daemon."""
    _, bindings = ports.published(["9000-9010:80"])
    assert bindings == {"80/tcp": [{"HostIp": "", "HostPort": "9000-9010"}]}


@given(st.text(alphabet="0123456789:-/.[]=,tcpud ", max_size=20))
def test_any_spec_is_read_or_refused(spec: str) -> None:
    """Whatever is typed after -p either binds something or is a ValueError with words."""
    try:
        exposed, bindings = ports.published([spec])
    except ValueError as error:
        refusal = str(error)
        exposed, bindings = {}, {}
    else:
        refusal = ""
    assert exposed.keys() == bindings.keys()
    assert bool(bindings) != bool(refusal)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([{"PrivatePort": 80, "Type": "tcp"}], "80/tcp"),
        (
            [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            ],
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
        ),
        (
            [
                {"IP": "0.0.0.0", "PrivatePort": n, "PublicPort": n, "Type": "tcp"}
                for n in (81, 80, 82, 90)
            ],
            "0.0.0.0:80-82->80-82/tcp, 0.0.0.0:90->90/tcp",
        ),
    ],
)
def test_the_ports_column(rows: list[dict[str, Any]], text: str) -> None:
    """Neighbouring ports share a range; a mapping to another number stands alone."""
    assert ports.shown(rows) == text


@given(st.lists(st.tuples(PORT, st.sampled_from(["", "0.0.0.0", "::"])), unique=True, max_size=8))
def test_no_published_port_is_left_out(pairs: list[tuple[int, str]]) -> None:
    """Every port the daemon reports can be found in the column, by itself or inside a range."""
    rows = [{"PrivatePort": n, "Type": "tcp"} | _public(n, ip) for n, ip in pairs]
    assert _numbers(ports.shown(rows)) == sorted(n for n, _ in pairs)


def _public(number: int, ip: str) -> dict[str, Any]:
    return {"IP": ip, "PublicPort": number} if ip else {}


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(", ") if text else ():
        inner = part.rpartition("->")[2].removesuffix("/tcp")
        first, _, last = inner.partition("-")
        found += range(int(first), int(last or first) + 1)
    return sorted(found)
