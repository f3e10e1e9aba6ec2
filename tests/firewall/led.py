"""Whether published ports lead to their containers, on a host whose firewall stands, by packets."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path

from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import Habits, policy
from fairlead.model.marks import Marks
from fairlead.model.state import State, state
from tests.firewall import spans
from tests.firewall.field import ground
from tests.security.place import Place

PATIENCE_SECONDS = 60.0
"""Neighbours have to be found first, on a processor that may be emulated."""
AGAIN_SECONDS = 1.0
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
CASES = (
    (spans.FIRST, 9001),
    (spans.SECOND, 9003),
    (spans.FIRST, 9006),
    (spans.SECOND, 65535),
    (spans.FIRST, 9101),
    (spans.SECOND, 9103),
)
"""Where a port leads: ranges and a single port, at every address of the host's or at one."""


def wanted(marks: Marks, habits: Habits) -> State:
    """All that the host has for the world of `spans`."""
    world = spans.world(*spans.PUBLISHED)
    walls = firewall("nftables", marks, habits=habits).resources(policy(world))
    return state([*ground(world, habits.proxied), *walls])


def answered(asking: Place, boxes: Path) -> set[tuple[int, str, int]]:
    """Of which cases a datagram to the host arrives at the container, of which family's.

    `boxes` is the folder in which the containers' namespaces are pinned.
    """
    found = set()
    places = {box: Place(box, boxes / box) for box in spans.PUBLISHED}
    for version, family in FAMILIES.items():
        for box, port in CASES:
            with (
                places[box].socket(family, socket.SOCK_DGRAM) as there,
                asking.socket(family, socket.SOCK_DGRAM) as here,
            ):
                there.bind(("", port))
                if _arrives(here, there, (spans.HOST[version], port)):
                    found.add((version, box, port))
    for place in places.values():
        place.close()
    return found


def _arrives(here: socket.socket, there: socket.socket, address: tuple[str, int]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        here.sendto(b"hello", address)
        if select.select([there], [], [], AGAIN_SECONDS)[0]:
            return True
    return False
