"""Both ends of name resolution: `dig.py ask NAME TYPE [tcp]`, and `dig.py serve ADDRESS`.

The server knows every name but `missing`: all are at 203.0.113.9. It prints what it is asked.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rrset

RESOLVER = "127.0.0.11"
EVERYWHERE = "203.0.113.9"
PATIENCE_SECONDS = 6.0


def ask(name: str, kind: str, transport: str = "udp", server: str = RESOLVER) -> None:
    """Asks once and prints the answer as JSON."""
    question = dns.message.make_query(name, kind)
    send = dns.query.tcp if transport == "tcp" else dns.query.udp
    shown: dict[str, Any]
    try:
        answer = send(question, server, timeout=PATIENCE_SECONDS)
    except (dns.exception.Timeout, OSError) as error:
        shown = {"rcode": type(error).__name__, "flags": "", "ttl": [], "found": []}
    else:
        shown = {
            "rcode": dns.rcode.to_text(answer.rcode()),
            "flags": dns.flags.to_text(answer.flags),
            "ttl": [rrset.ttl for rrset in answer.answer],
            "found": [record.to_text() for rrset in answer.answer for record in rrset],
        }
    print(json.dumps(shown))


def serve(address: str) -> None:
    """Answers every question until killed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    print("ready", flush=True)
    while True:
        wire, peer = sock.recvfrom(4096)
        question = dns.message.from_wire(wire)
        answer = dns.message.make_response(question)
        (asked,) = question.question
        # Whoever asks may spell it with capitals by lot, to be harder to deceive.
        print(asked.name.to_text().lower(), flush=True)
        if asked.name == dns.name.from_text("missing"):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", EVERYWHERE))
        sock.sendto(answer.to_wire(), peer)


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"ask": ask, "serve": serve}
    verbs[sys.argv[1]](*sys.argv[2:])
