"""Packets of gossip that no agent sent."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from fairlead.gossip.process import PORT
from tests.lab import Machine

USER = 8
"""memberlist: what follows is for whoever uses it."""
USER_EVENT = 3
"""serf: what follows is a user event."""

SEND = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20):
    sock.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))
"""


def user_event(event: dict[str, Any], time: int) -> bytes:
    """An event about an endpoint, as one packet that is not encrypted."""
    action = "join" if event["joined"] else "leave"
    ip = event["address"].partition("/")[0]
    body = {
        "LTime": time,
        "Name": f"jl {event['host']} {event['network']} {event['endpoint']}",
        "Payload": f"{action} {ip} 255.255.255.0 {event['mac']}",
        "CC": False,
    }
    return bytes([USER, USER_EVENT]) + msgspec.msgpack.encode(body)


def flood(machine: Machine, address: object, packet: bytes) -> None:
    """Sends a packet some times."""
    machine.run([sys.executable, "-c", SEND, str(address), str(PORT), packet.hex()])
