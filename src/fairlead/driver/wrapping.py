"""Wrapping: how large a packet may be, so that what is put around it still fits.

::

    IP │ ESP │ UDP │ VXLAN │ Ethernet │ the container's packet │ padding, 2 │ check

    IP         20 or 40
    ESP         8 and 8 of nonce     encrypted networks only
    UDP         8
    VXLAN       8
    Ethernet   14                    the inner frame's header
    padding   0-3 and 2              ESP: up to a multiple of 4 with its two bytes
    check      16                    ESP: of AES-GCM
"""

from __future__ import annotations

IP_BYTES = {4: 20, 6: 40}
TUNNEL_BYTES = 8 + 8 + 14
ESP_BYTES = 8 + 8 + 16
TRAILER_BYTES = 2


def inside(outer: int, version: int, encrypted: bool) -> int:
    """The MTU of an overlay's containers, for that of the way between hosts, in bytes.

    ``inside(1500, 4, False)`` is 1450, and with encryption 1416: a multiple of 4, for
    the padding fills what is left.
    """
    if not encrypted:
        return outer - IP_BYTES[version] - TUNNEL_BYTES
    room = outer - IP_BYTES[version] - ESP_BYTES
    return room - room % 4 - TRAILER_BYTES - TUNNEL_BYTES
