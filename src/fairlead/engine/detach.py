"""The keys that leave a terminal without ending the program: ctrl-p ctrl-q, or others."""

from __future__ import annotations

from fairlead.model.errors import Invalid

DEFAULT = b"\x10\x11"

_SPECIAL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as the bytes a terminal sends. Raises Invalid."""
    return bytes(_key(part) for part in text.split(",")) if text else DEFAULT


def _key(text: str) -> int:
    if len(text) == 1 and text.isascii():
        return ord(text)
    name = text.removeprefix("ctrl-")
    if name != text and len(name) == 1:
        if "a" <= name <= "z":
            return ord(name) - ord("a") + 1
        if name in _SPECIAL:
            return _SPECIAL[name]
    raise Invalid(f"Invalid detach keys ({text}) provided")


class Detacher:
    """Watches input for the keys. What may be their beginning is held back."""

    def __init__(self, sequence: bytes = DEFAULT) -> None:
        self._sequence = sequence
        self._matched = 0
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """The part of the input that the program shall see."""
        passed = bytearray()
        for byte in data:
            if self.detached:
                break
            if byte == self._sequence[self._matched]:
                self._matched += 1
                self.detached = self._matched == len(self._sequence)
                continue
            # No keys after all: the program gets what was held back.
            passed += self._sequence[: self._matched]
            self._matched = 1 if byte == self._sequence[0] else 0
            if not self._matched:
                passed.append(byte)
        return bytes(passed)
