"""msgpack as it comes over a stream: where one value ends.

msgspec decodes whole values and cannot say how long one is, so the end is found here: by
counting how many values are still open, without building or descending into any.
"""

from __future__ import annotations

FIXED = {
    0xC0: 0, 0xC2: 0, 0xC3: 0,  # nil, false, true
    0xCA: 4, 0xCB: 8,  # floats
    0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,  # unsigned
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,  # signed
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,  # extensions of fixed length, with their type
}  # fmt: skip
"""Tags followed by that many bytes."""

COUNTED = {
    0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0),  # bytes
    0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),  # extensions, with their type
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),  # text
}  # fmt: skip
"""Tags followed by a number of that many bytes, and then by as many bytes and these."""

NESTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Tags followed by a number of that many bytes, and then by so many times that many values."""


def end(data: bytes | bytearray) -> int | None:
    """Where the first value ends; None while it is not all there. Raises ValueError."""
    position, open_values = 0, 1
    while open_values:
        if position >= len(data):
            return None
        tag = data[position]
        position += 1
        open_values -= 1
        if tag <= 0x7F or tag >= 0xE0:  # small numbers
            continue
        if tag <= 0x8F:
            open_values += 2 * (tag & 0x0F)
        elif tag <= 0x9F:
            open_values += tag & 0x0F
        elif tag <= 0xBF:
            position += tag & 0x1F
        elif tag in FIXED:
            position += FIXED[tag]
        elif tag == 0xC1:
            raise ValueError("not msgpack")
        else:
            size, times = COUNTED.get(tag) or NESTED[tag]
            number = int.from_bytes(data[position : position + size])
            if position + size > len(data):
                return None
            position += size
            if tag in COUNTED:
                position += number + times
            else:
                open_values += number * times
    return position if position <= len(data) else None
