"""exchange: a DHCP client's states over the wire of a segment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from random import SystemRandom

from fairlead.dhcp import client as states
from fairlead.dhcp.client import Client, Identity, Phase, Sent
from fairlead.dhcp.frame import unwrap, wrap
from fairlead.dhcp.message import Malformed, build, parse
from fairlead.kernel.segment import Segment
from fairlead.model.errors import Unavailable
from fairlead.model.lease import Lease
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox

LONGEST_NAME = 63
DUID_UUID = b"\x00\x04"
"""The kind of a DUID of 16 bytes that mean nothing to others (RFC 6355)."""
BY_DUID = b"\xff"
"""The kind of a client identifier that a DUID is part of (RFC 4361)."""

dice: Callable[[], float] = SystemRandom().random


def now() -> float:
    """Seconds since the host was booted; see `model.lease`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def identity(net: Network, box: Sandbox, mac: str, parent: bytes) -> Identity:
    """Who an endpoint is for a server: the same at each start of its container.

    Where it has the MAC of its parent, as others there, something else tells them apart.
    """
    if mac:
        return Identity(bytes.fromhex(mac.replace(":", "")), name=name(box))
    number = sha256(net.id.encode()).digest()[:4]
    who = sha256((box.container or box.id).encode()).digest()[:16]
    return Identity(parent, BY_DUID + number + DUID_UUID + who, name(box))


def name(box: Sandbox) -> str:
    """What a server shows, and may make a name of: the host name that was chosen, or ours."""
    chosen = "" if box.container.startswith(box.hostname) else box.hostname
    text = "".join(c if c.isascii() and c.isalnum() else "-" for c in chosen or box.name)
    return text[:LONGEST_NAME].strip("-")


async def settle(client: Client, segment: Segment) -> Client:
    """Go on until it is bound, or has no hope. Who is cancelled gives back what it was promised."""
    try:
        while client.phase is not Phase.BOUND and not client.hopeless:
            client = await step(client, segment)
    except BaseException:
        sent = states.forgone(client, dice)
        if sent is not None:
            # Where even that cannot be sent, the promise ends by itself.
            with suppress(Unavailable):
                say(segment, client.identity, sent)
        raise
    return client


async def step(client: Client, segment: Segment) -> Client:
    """One thing that happens: the next message that means something, or the time is up."""
    try:
        async with asyncio.timeout(max(0.0, client.due - now())):
            client, sent = await _heard(client, segment)
    except TimeoutError:
        client, sent = states.act(client, now(), dice)
    if sent is not None:
        say(segment, client.identity, sent)
    return client


async def _heard(client: Client, segment: Segment) -> tuple[Client, Sent | None]:
    while True:
        frame = await segment.receive()
        try:
            came = unwrap(frame)
            return states.hear(client, parse(came.payload), came.mac, now(), dice)
        except Malformed:
            # Anybody can say anything here, and most of it is for others. However much that
            # is, nobody else waits for it to end.
            await asyncio.sleep(0)


def say(segment: Segment, who: Identity, sent: Sent) -> None:
    """Put a message on the wire."""
    source = (who.mac, sent.message.client)
    segment.send(wrap(build(sent.message), source, (sent.mac, sent.address)))


def release(segment: Segment, lease: Lease) -> None:
    """Give a lease back. Nobody answers that."""
    say(segment, Identity.of(lease), states.released(lease, dice))
