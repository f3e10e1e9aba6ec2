"""The keyring of a cluster, as this host takes part in it: made, joined, turned, left.

Each is one compare-and-swap on one value; who comes second finds what the first one did.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fairlead.cluster import keyring
from fairlead.controller.shared.place import Place
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.keyring import Keyring
from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Keys:
    """This host and the keyring. `secret` is that of the file of keys, if there is to be one."""

    place: Place
    own: IPAddress
    secret: bytes | None = None
    draw: Callable[[int], bytes] = secrets.token_bytes
    date: Callable[[], float] = time.time

    async def join(self, again: bool = False) -> Keyring:
        """Take part, with a keyring made if there is none. `again`: be born again.

        Raises Invalid or Conflict when the keyring cannot be used, and Away.
        """
        birth = self.draw(keyring.BIRTH_BYTES)
        fresh = self._first()

        def change(value: bytes | None) -> bytes:
            ring = fresh if value is None else self.read(value)
            if value is not None and self.own in ring.members and not again:
                return value
            return keyring.encode(keyring.joined(ring, self.own, birth))

        found = await self._alter(change)
        assert found is not None, "it was just written"
        return found

    async def find(self) -> Keyring | None:
        """The keyring as it is; None when there is none. Raises Invalid, Conflict and Away."""
        value = await self.place.value(self.place.keys.keyring)
        return None if value is None else self.read(value)

    async def turn(self, generation: int, dead: Collection[IPAddress] = ()) -> Keyring | None:
        """Turn the keyring if that is still its generation; None when there is none.

        Members who are `dead` take no part any more; who was not joins again.
        """
        secret = self.secret or self.draw(keyring.SECRET_BYTES)

        def change(value: bytes | None) -> bytes | None:
            if value is None:
                return None
            ring = self.read(value)
            if ring.generation != generation:
                return value
            for host in dead:
                ring = keyring.left(ring, host)
            return keyring.encode(keyring.turned(ring, int(self.date()), secret))

        return await self._alter(change)

    async def leave(self) -> None:
        """Take no part any more."""

        def change(value: bytes | None) -> bytes | None:
            if value is None:
                return None
            ring = self.read(value)
            known = self.own in ring.members
            return keyring.encode(keyring.left(ring, self.own)) if known else value

        await self._alter(change)

    def read(self, value: bytes) -> Keyring:
        """What lies in the store, with its secrets. Raises Invalid, Conflict."""
        try:
            ring = keyring.decode(value)
        except Invalid as error:
            raise Invalid(
                f"the cluster's store has a bad value, not used: {error.message}",
                hint=f"remove {self.place.keys.keyring} and all hosts make a new one",
            ) from error
        if self.secret is not None:
            return keyring.opened(ring, self.secret)
        if ring.origin:
            raise Conflict(
                "the cluster's networks are encrypted with a key that this host does not have",
                hint="give it the file of the other hosts, and name it as fairlead.overlay.key",
            )
        return ring

    def _first(self) -> Keyring:
        now = int(self.date())
        if self.secret is not None:
            return keyring.first_of_file(now, self.secret)
        one, two, three = (self.draw(keyring.SECRET_BYTES) for _ in range(3))
        return keyring.first(now, (one, two, three))

    async def _alter(self, change: Callable[[bytes | None], bytes | None]) -> Keyring | None:
        """Change the keyring, and read what it is then."""
        last: bytes | None = None

        def noted(value: bytes | None) -> bytes | None:
            nonlocal last
            last = change(value)
            return last

        await self.place.alter(self.place.keys.keyring, noted)
        return None if last is None else self.read(last)
