"""The keyring in the store: made by the first host that needs one, turned by any.

It is one value, written by compare-and-swap: three generations of secrets, and the hosts
that take part. A host takes what was encrypted with any of the three, and sends with the
middle one::

    before   n-1  [n]  n+1            [ ] is sent with
    after         n   [n+1]  n+2

So what a host starts to send with is what all others have taken for a whole period, and one
that has not heard of the turn is still understood until the next.

Whoever can read the store has the secrets. Where that is too many, they are derived from a
file that each host has, and the store has only the number of the generation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from fairlead.cluster.derive import derived
from fairlead.cluster.text import host_of
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.keyring import Keyring, Member
from fairlead.model.state import IPAddress

SECRET_BYTES = 32
BIRTH_BYTES = 16
PERIOD_SECONDS = 12 * 3600
SETTLE_SECONDS = 600
"""No turn sooner after another that this host has seen: others may still be catching up."""
FIRST_GENERATION = 2
MOST_GENERATION = 1 << 48
MOST_MEMBERS = (1 << 24) - 1
"""The number of a host is most of the SPIs that it sends by."""
MOST_BYTES = 1 << 20


class _Host(msgspec.Struct, forbid_unknown_fields=False):
    number: int
    birth: str


class _Document(msgspec.Struct):
    generation: int
    since: int
    hosts: dict[str, _Host]
    secrets: list[str] = []
    origin: str = ""


def first(now: int, secrets: tuple[bytes, bytes, bytes]) -> Keyring:
    """A new keyring with secrets that were drawn for it."""
    return Keyring(FIRST_GENERATION, now, secrets)


def first_of_file(now: int, secret: bytes) -> Keyring:
    """A new keyring whose secrets come of a file's."""
    return opened(Keyring(FIRST_GENERATION, now, (), origin=fingerprint(secret)), secret)


def opened(ring: Keyring, secret: bytes) -> Keyring:
    """A keyring with the secrets that come of a file's. Raises Conflict if it is another file's."""
    if ring.origin != fingerprint(secret):
        raise Conflict(
            "the cluster's networks are encrypted with another key",
            hint="`fairlead.overlay.key` has to be the same file on every host, or on none",
        )
    numbers = range(ring.generation - 1, ring.generation + 2)
    return replace(ring, secrets=tuple(_generation(secret, number) for number in numbers))


def secret_of(content: bytes) -> bytes:
    """What a file holds, the white space around it aside. Raises Invalid when it is too short."""
    found = content.strip()
    if len(found) < SECRET_BYTES:
        raise Invalid(
            f"the overlay key has {len(found)} bytes, fewer than {SECRET_BYTES}",
            hint="make one with: openssl rand -hex 32",
        )
    return found


def fingerprint(secret: bytes) -> str:
    """What may be known of a file's secret, to tell it from another."""
    return derived(secret, b"fingerprint", 8).hex()


def _generation(secret: bytes, number: int) -> bytes:
    return derived(secret, b"generation" + number.to_bytes(8), SECRET_BYTES)


def due(ring: Keyring, now: int, seen_seconds: float, period: int = PERIOD_SECONDS) -> bool:
    """Whether it is time to turn. `seen_seconds` says how long this host has known this turn.

    Both clocks count: a host whose date is wrong can neither hold turns up nor make
    them come one upon the other.
    """
    if seen_seconds < min(SETTLE_SECONDS, period):
        return False
    return now - ring.since >= period or seen_seconds >= period


def turned(ring: Keyring, now: int, secret: bytes) -> Keyring:
    """The keyring a generation on. `secret` was drawn for it, or is the file's, if there is one."""
    later = replace(ring, generation=ring.generation + 1, since=now)
    if ring.origin:
        return opened(later, secret)
    return replace(later, secrets=(*ring.secrets[1:], secret))


def joined(ring: Keyring, host: IPAddress, birth: bytes) -> Keyring:
    """A host takes part, or is born again. Raises Conflict when there is no number left."""
    known = ring.members.get(host)
    number = known.number if known else _free({m.number for m in ring.members.values()})
    return replace(ring, members={**ring.members, host: Member(number, birth)})


def left(ring: Keyring, host: IPAddress) -> Keyring:
    """A host takes no part any more."""
    return replace(ring, members={h: m for h, m in ring.members.items() if h != host})


def _free(taken: set[int]) -> int:
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    if number > MOST_MEMBERS:
        raise Conflict("the keyring has no room for another host")
    return number


def encode(ring: Keyring) -> bytes:
    """The value in the store; secrets that come of a file stay out of it."""
    secrets = [] if ring.origin else [base64.b64encode(s).decode() for s in ring.secrets]
    hosts = {str(h): _Host(m.number, m.birth.hex()) for h, m in sorted_members(ring.members)}
    document = _Document(ring.generation, ring.since, hosts, secrets, ring.origin)
    return msgspec.json.encode(document)


def sorted_members(members: Mapping[IPAddress, Member]) -> list[tuple[IPAddress, Member]]:
    """Hosts by their numbers."""
    return sorted(members.items(), key=lambda item: item[1].number)


def decode(value: bytes) -> Keyring:
    """What is in the store, which anybody may have put there. Raises Invalid."""
    if len(value) > MOST_BYTES:
        raise Invalid("the keyring is too large")
    try:
        found = msgspec.json.decode(value, type=_Document)
        secrets = tuple(base64.b64decode(text, validate=True) for text in found.secrets)
        members = {host_of(text, "host"): _member(host) for text, host in found.hosts.items()}
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        # Not the error's own words: they may quote a secret.
        raise Invalid("the keyring is not in a form that is known here") from error
    if not FIRST_GENERATION <= found.generation <= MOST_GENERATION:
        raise Invalid("the keyring's generation is not within its bounds")
    if len(secrets) != (0 if found.origin else 3):
        raise Invalid("the keyring does not have three secrets")
    if any(len(secret) != SECRET_BYTES for secret in secrets) or len(set(secrets)) != len(secrets):
        raise Invalid("the keyring's secrets are too short, or the same")
    numbers = {member.number for member in members.values()}
    if len(numbers) != len(found.hosts):
        raise Invalid("two hosts of the keyring have one number, or one address")
    return Keyring(found.generation, found.since, secrets, members, found.origin)


def _member(host: _Host) -> Member:
    birth = bytes.fromhex(host.birth)
    if len(birth) != BIRTH_BYTES or not 0 < host.number <= MOST_MEMBERS:
        raise ValueError(host.number)
    return Member(host.number, birth)
