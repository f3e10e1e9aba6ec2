"""Ports as text: what each form asks for, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.library.published import port_requests
from fairlead.model.endpoint import PortRequest
from fairlead.model.errors import Invalid


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", [PortRequest("tcp", 80)]),
        ("8080:80", [PortRequest("tcp", 80, "", 8080, 8080)]),
        (":80", [PortRequest("tcp", 80)]),
        ("53:53/udp", [PortRequest("udp", 53, "", 53, 53)]),
        ("127.0.0.1:8080:80", [PortRequest("tcp", 80, "127.0.0.1", 8080, 8080)]),
        ("127.0.0.1::80", [PortRequest("tcp", 80, "127.0.0.1")]),
        ("[::1]:8080:80", [PortRequest("tcp", 80, "::1", 8080, 8080)]),
        ("9000-9010:80", [PortRequest("tcp", 80, "", 9000, 9010)]),
        ("80-81/UDP", [PortRequest("udp", 80), PortRequest("udp", 81)]),
        (
            "8000-8001:80-81",
            [PortRequest("tcp", 80, "", 8000), PortRequest("tcp", 81, "", 8001)],
        ),
    ],
)
def test_what_a_text_asks_for(text: str, wanted: list[PortRequest]) -> None:
    """Each form means what it means to `docker run -p`."""
    asked = port_requests([text])

    ends = [max(request.host_port_end, request.host_port) for request in asked]
    assert ends == [max(request.host_port_end, request.host_port) for request in wanted]
    assert [(r.protocol, r.container_port, r.host_ip, r.host_port) for r in asked] == [
        (r.protocol, r.container_port, r.host_ip, r.host_port) for r in wanted
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "a:b", "80:", "0", "0:80", "65536", "8080:65536", "90-80", "1-3:1-2", "80/icmp",
        "1.2.3:80:80", "300.0.0.1:80:80", "[::g]:80:80", "::1:80:80", "80 ", "80:80/tcp/udp",
        "\u0668\u0660:80",
    ],
)  # fmt: skip
def test_what_is_no_port(text: str) -> None:
    """Refused, with the text in the message."""
    with pytest.raises(Invalid, match="port"):
        port_requests([text])


PORTS = st.integers(1, 65535)


@given(
    host=st.none() | st.ip_addresses(),
    outer=st.none() | PORTS,
    inner=PORTS,
    protocol=st.sampled_from(["tcp", "udp", "sctp"]),
)
def test_every_port_can_be_said(host: object, outer: int | None, inner: int, protocol: str) -> None:
    """Whatever is written in the form is read as it was meant."""
    where = "" if host is None else f"[{host}]:" if ":" in str(host) else f"{host}:"
    text = f"{where}{outer or ''}:{inner}/{protocol}"

    (asked,) = port_requests([text])

    assert (asked.host_ip, asked.host_port) == ("" if host is None else str(host), outer or 0)
    assert (asked.container_port, asked.protocol) == (inner, protocol)


@given(st.text())
def test_any_other_text_is_refused_and_nothing_worse(text: str) -> None:
    """Text is refused, or every part of it meant a port."""
    try:
        found = port_requests([text])
    except Invalid:
        return
    assert all(0 < request.container_port <= 65535 for request in found)
    assert found
