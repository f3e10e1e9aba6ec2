"""Sealing: the SAs and policies between this host and another, out of the keyring.

In libnetwork all hosts share one key, and only the 32 bits of salt, a hash of two addresses,
keep the nonces of two senders apart: where two hashes are equal, AES-GCM is broken for both.
Here each pair of hosts has, for each direction, generation and birth of either, a key of its
own; it cannot occur twice, whatever anybody counts. The SPI needs no hash either: it is the
sender's number and the generation's last byte, and so nobody else's at the receiver.

By each generation two hosts take and, once it is current, send::

    n-1     taken, and still there to send by: what is on its way was made with it
    n       taken, and sent by
    n+1     taken
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.cluster.derive import derived
from fairlead.model.keyring import Keyring
from fairlead.model.state import IPAddress, Key, Resource, State
from fairlead.model.tunnel import SEALED_PORT
from fairlead.model.xfrm import SECRET_BYTES, XfrmBlock, XfrmDemand, XfrmPolicy, XfrmState


def base(version: int, port: int = SEALED_PORT) -> Iterator[Resource]:
    """What an encrypted network needs before it has another host: nothing gets out or in."""
    yield XfrmBlock(version, port)
    yield XfrmDemand(version, port)


def between(
    ring: Keyring, here: IPAddress, there: IPAddress, port: int = SEALED_PORT
) -> Iterator[Resource]:
    """What encrypts between this host and another; nothing until the keyring has both."""
    strangers = {here, there} - ring.members.keys()
    if strangers or not ring.secrets or here.version != there.version:
        return
    now = ring.generation
    for generation in (now - 1, now, now + 1):
        yield association(ring, there, here, generation, port)
    for generation in (now - 1, now):
        yield association(ring, here, there, generation, port)
    yield XfrmPolicy(here, there, spi(ring, here, now), port)


def association(
    ring: Keyring,
    source: IPAddress,
    destination: IPAddress,
    generation: int,
    port: int = SEALED_PORT,
) -> XfrmState:
    """The SA by which one host sends to another in a generation."""
    sender, receiver = ring.members[source], ring.members[destination]
    label = b"".join(
        (
            b"esp",
            bytes([source.version]),
            source.packed,
            destination.packed,
            sender.birth,
            receiver.birth,
            generation.to_bytes(8),
        )
    )
    secret = ring.secrets[generation - ring.generation + 1]
    return XfrmState(
        source,
        destination,
        spi(ring, source, generation),
        derived(secret, label, SECRET_BYTES),
        port,
    )


def spi(ring: Keyring, source: IPAddress, generation: int) -> int:
    """Of an SA by which a host sends: above 255, which are reserved (RFC 4303)."""
    return ring.members[source].number << 8 | generation & 0xFF


def lost(want: State, have: State, here: IPAddress) -> frozenset[Key]:
    """The SAs that this host was sending by and that are gone: it has to be born again.

    After a boot they are, and after a flush by hand. Made anew they would count from 1
    again, which receivers take for old packets. `want` is what was there, not what is to
    come: an SA to a new host is not lost.
    """
    return frozenset(
        key
        for key, item in want.items()
        if isinstance(item, XfrmState) and item.source == here and have.get(key) != item
    )
