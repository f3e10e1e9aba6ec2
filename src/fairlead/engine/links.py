"""Legacy links of the default bridge: the environment that they give a container.

For a link to a container with the alias ``db`` that exposes 5432::

    DB_NAME=/web/db                        DB_PORT_5432_TCP_ADDR=172.17.0.2
    DB_PORT=tcp://172.17.0.2:5432          DB_PORT_5432_TCP_PORT=5432
    DB_PORT_5432_TCP=tcp://172.17.0.2:5432 DB_PORT_5432_TCP_PROTO=tcp
    DB_ENV_POSTGRES_DB=shop                (every variable of its own)

Neighbouring ports are told of once more as a range (``…_START``, ``…_END``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Variables that say how an image was built, and nothing about the service.
UNTOLD = ("HOME", "PATH")

Port = tuple[str, int]
"""Protocol and number."""


def environment(
    owner: str, alias: str, address: str, ports: Sequence[Port], theirs: Sequence[str]
) -> list[str]:
    """The variables for one link; `theirs` is the environment of the target."""
    word = alias.rpartition("/")[2].upper().replace("-", "_")
    # TCP first, as whoever asks for just "the port" most likely means that.
    known = sorted(ports, key=lambda port: (port[0] != "tcp", port[1], port[0]))
    found: list[str] = []
    if known:
        found.append(f"{word}_PORT={_url(known[0], address)}")
    for protocol, number in known:
        name = f"{word}_PORT_{number}_{protocol.upper()}"
        found += [
            f"{name}={_url((protocol, number), address)}",
            f"{name}_ADDR={address}",
            f"{name}_PORT={number}",
            f"{name}_PROTO={protocol}",
        ]
    for first, last in _ranges(known):
        name = f"{word}_PORT_{first[1]}_{first[0].upper()}"
        found += [
            f"{name}_START={_url(first, address)}",
            f"{name}_PORT_START={first[1]}",
            f"{name}_END={_url(last, address)}",
            f"{name}_PORT_END={last[1]}",
        ]
    found.append(f"{word}_NAME=/{owner}/{alias}")
    for entry in theirs:
        name, equals, value = entry.partition("=")
        if equals and name not in UNTOLD:
            found.append(f"{word}_ENV_{name}={value}")
    return found


def _url(port: Port, address: str) -> str:
    return f"{port[0]}://{address}:{port[1]}"


def _ranges(ports: Sequence[Port]) -> Iterator[tuple[Port, Port]]:
    """Runs of at least two neighbours of one protocol."""
    run: list[Port] = []
    for port in ports:
        if run and port != (run[-1][0], run[-1][1] + 1):
            if len(run) > 1:
                yield run[0], run[-1]
            run = []
        run.append(port)
    if len(run) > 1:
        yield run[0], run[-1]
