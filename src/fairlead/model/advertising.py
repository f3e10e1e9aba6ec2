"""How often, and at what pace, a network says who has an address now: Docker's options for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.model.errors import Failed

MESSAGES = "com.docker.network.advertise_addr_nmsgs"
INTERVAL = "com.docker.network.advertise_addr_ms"
MOST_MESSAGES = 3
"""As many as RFC 5227 and RFC 4861 send."""
LEAST_MS, MOST_MS = 100, 2000
NUMBER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Advertising:
    """How many messages for each address, and how long after one another."""

    messages: int = MOST_MESSAGES
    interval_ms: int = 1000


USUAL = Advertising()


def check(options: Mapping[str, str]) -> Advertising:
    """What a user asks for. Raises Failed with all that is wrong, in Docker's words."""
    faults = [*_faults(options)]
    if faults:
        raise Failed(
            "\n".join(faults),
            hint=f"0 to {MOST_MESSAGES} messages (0: none), {LEAST_MS} to {MOST_MS} ms apart",
        )
    return Advertising(
        int(options.get(MESSAGES, USUAL.messages)), int(options.get(INTERVAL, USUAL.interval_ms))
    )


def advertising(options: Mapping[str, str]) -> Advertising:
    """What a network has; what nobody checked, or was kept before it meant anything, is nothing."""
    return USUAL if any(_faults(options)) else check(options)


def _faults(options: Mapping[str, str]) -> list[str]:
    bounds = (
        (MESSAGES, 0, MOST_MESSAGES, "an integer"),
        (INTERVAL, LEAST_MS, MOST_MS, "integer milliseconds"),
    )
    found = []
    for key, least, most, what in bounds:
        text = options.get(key)
        if text is None:
            continue
        if not NUMBER.fullmatch(text):
            found.append(f'value for option {key} "{text}" must be {what}')
        elif not least <= int(text) <= most:
            found.append(f"{key} must be in the range {least} to {most}")
    return found
