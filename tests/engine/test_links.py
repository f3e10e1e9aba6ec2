"""The environment of legacy links."""

from __future__ import annotations

from fairlead.engine.links import environment


def test_one_port() -> None:
    """As Docker has told it since there are links."""
    found = environment(
        "web", "my-db", "172.17.0.2", [("tcp", 5432)], ["PATH=/bin", "A=b=c", "odd"]
    )
    assert found == [
        "MY_DB_PORT=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b=c",
    ]


def test_no_port() -> None:
    """Only the name is left."""
    assert environment("web", "db", "172.17.0.2", [], []) == ["DB_NAME=/web/db"]


def test_neighbouring_ports() -> None:
    """TCP first; a run of ports is also a range, of one protocol."""
    ports = [("udp", 53), ("tcp", 81), ("tcp", 80), ("tcp", 90), ("udp", 54), ("udp", 56)]
    found = environment("web", "db", "10.0.0.1", ports, [])
    assert found[0] == "DB_PORT=tcp://10.0.0.1:80"
    assert [entry for entry in found if "_START" in entry or "_END" in entry] == [
        "DB_PORT_80_TCP_START=tcp://10.0.0.1:80",
        "DB_PORT_80_TCP_PORT_START=80",
        "DB_PORT_80_TCP_END=tcp://10.0.0.1:81",
        "DB_PORT_80_TCP_PORT_END=81",
        "DB_PORT_53_UDP_START=udp://10.0.0.1:53",
        "DB_PORT_53_UDP_PORT_START=53",
        "DB_PORT_53_UDP_END=udp://10.0.0.1:54",
        "DB_PORT_53_UDP_PORT_END=54",
    ]
