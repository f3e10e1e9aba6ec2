"""Both ends of a conversation, run where a test wants them: `talk.py serve …`, `talk.py ask …`.

A server tells everyone who asks under which address and port it sees them, and its own host
name. The one who asks prints that, or `refused`, `timeout` or `unreachable`.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable

PATIENCE_SECONDS = 2.0
PAUSE_SECONDS = 0.002


def serve(*ends: str) -> None:
    """Listens on each `tcp:80`, `udp:53` or `sctp:80` until killed."""
    sockets = [_listen(end) for end in ends]
    print("ready", flush=True)
    threads = [threading.Thread(target=_answer, args=(sock,)) for sock in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask(protocol: str, host: str, port: str, patience_seconds: str = "") -> None:
    """Asks once and prints what came back."""
    print(_asked(protocol, host, int(port), float(patience_seconds or PATIENCE_SECONDS)))


def fetch(url: str) -> None:
    """Prints a page."""
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as page:
        sys.stdout.write(page.read().decode())


def converse(host: str, port: str) -> None:
    """Opens one TCP connection and sends a line through it for each line it is given."""
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as sock:
        stream = sock.makefile("rw")
        print(stream.readline().strip(), flush=True)
        for line in sys.stdin:
            stream.write(line)
            stream.flush()
            print(stream.readline().strip(), flush=True)


def chatter(host: str, port: str) -> None:
    """Talks over one TCP connection without a pause until its input ends; prints what it got."""
    heard = 0
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as sock:
        # What is lost on the way is sent again, later and later.
        sock.settimeout(60)
        stream = sock.makefile("rw")
        print(stream.readline().strip(), flush=True)
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            try:
                stream.write("hello\n")
                stream.flush()
                heard += stream.readline() == "hello\n"
            except OSError as error:
                print(f"after {heard} answers: {error}", flush=True)
                return
    print(f"answered {heard > 0}", flush=True)


def _listen(end: str) -> socket.socket:
    protocol, port = end.split(":")
    sock = _socket(socket.AF_INET6, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Both families arrive here.
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", int(port)))
    if sock.type == socket.SOCK_STREAM:
        sock.listen(64)
    return sock


def _socket(family: socket.AddressFamily, protocol: str) -> socket.socket:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    return socket.socket(family, kind, socket.IPPROTO_SCTP if protocol == "sctp" else 0)


def _answer(sock: socket.socket) -> None:
    name = socket.gethostname()
    while True:
        if sock.type == socket.SOCK_DGRAM:
            _, peer = sock.recvfrom(2048)
            sock.sendto(_seen(peer, name), peer)
        else:
            connection, peer = sock.accept()
            connection.sendall(_seen(peer, name))
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _seen(peer: tuple[str, int], name: str) -> bytes:
    return f"{peer[0].removeprefix('::ffff:')} {peer[1]} {name}\n".encode()


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(2048):
            connection.sendall(data)


def _asked(protocol: str, host: str, port: int, patience_seconds: float) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _socket(family, protocol) as sock:
        sock.settimeout(patience_seconds)
        try:
            sock.connect((host, port))
            if protocol == "udp":
                sock.send(b"?")
            return sock.recv(2048).decode().strip() or "closed"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return f"unreachable: {error}"


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]]
    verbs = {"serve": serve, "ask": ask, "converse": converse, "chatter": chatter, "fetch": fetch}
    verbs[sys.argv[1]](*sys.argv[2:])
