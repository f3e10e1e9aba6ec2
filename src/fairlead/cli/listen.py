"""Where the daemon listens: unix sockets, TCP with or without TLS, sockets from systemd.

Whoever reaches the API is root on this machine. So a TCP listener stands on the
loopback, asks its clients for certificates, or was wanted open in so many
words; and one that asks for no certificate turns containers away, which could
otherwise reach it through the host's addresses.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.cli.config import Config, is_loopback, split_endpoint
from fairlead.cli.service import chosen
from fairlead.engine.log import structlog
from fairlead.http.server import Server
from fairlead.model.errors import Conflict, Failed, Invalid

if TYPE_CHECKING:
    from fairlead.model.world import World

log = structlog.get_logger()
PORT, TLS_PORT = 2375, 2376
INSECURE = "gives root access on this machine to everyone who can connect to it"


def check(config: Config) -> None:
    """Raises Invalid for a listener that would be open to the network by oversight."""
    for host in config.hosts:
        if host.startswith("tcp://"):
            _check_tcp(config, _place(config, host)[0], host)
    if config.tls:
        server_context(config)


def _check_tcp(config: Config, address: str, shown: str) -> None:
    if config.tls is None and not is_loopback(address):
        raise Invalid(
            f"listening on {shown} without --tlsverify {INSECURE}",
            hint="use --tlsverify with --tlscacert, --tlscert and --tlskey; or, if that is "
            "what you want, --tls=false",
        )


def _place(config: Config, host: str) -> tuple[str, int]:
    """The address and port of `tcp://address:port`; what is left out is as dockerd has it."""
    text = host.removeprefix("tcp://").rstrip("/")
    if ":" not in text.rpartition("]")[2]:
        text += f":{TLS_PORT if config.tls else PORT}"
    return split_endpoint(text)


def server_context(config: Config) -> ssl.SSLContext:
    """TLS as the configuration says. Raises Invalid if a file is missing or wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # dockerd speaks HTTP/1.1 here as well.
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tlscert, config.tlskey)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"invalid TLS configuration: tlscert {config.tlscert}, tlskey {config.tlskey}: {error}"
        ) from error
    if config.tlsverify:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(config.tlscacert)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"invalid TLS configuration: tlscacert {config.tlscacert}: {error}"
            ) from error
    return context


def from_outside(world: Callable[[], World]) -> Callable[[str], bool]:
    """Whether a client's address is none of a container: what a listener without TLS admits."""

    def admitted(client: str) -> bool:
        address = ip_address(client.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        now = world()
        own = {pool.gateway for net in now.networks.values() for pool in net.pools}
        inside = any(
            pool.subnet.version == address.version and address in pool.subnet
            for net in now.networks.values()
            for pool in net.pools
        )
        # The host itself speaks from its bridges' addresses when it asks one of them.
        return address in own or not inside

    return admitted


async def listen(
    server: Server, config: Config, sockets: list[socket.socket], world: Callable[[], World]
) -> None:
    """Open every listener of the configuration. Raises Conflict if somebody has one of them."""
    context = server_context(config) if config.tls else None
    admitted = None if config.tlsverify else from_outside(world)
    for host in dict.fromkeys(config.hosts):
        if host.startswith("unix://"):
            path = Path(host.removeprefix("unix://"))
            await server.listen_unix(path, 0o660, config.group or None)
        elif host.startswith("fd://"):
            for sock in chosen(host, sockets):
                inet = sock.family != socket.AF_UNIX
                if inet:
                    _check_tcp(config, sock.getsockname()[0], host)
                await server.listen_on(sock, context if inet else None, admitted if inet else None)
        else:
            address, port = _place(config, host)
            try:
                await server.listen_tcp(address, port, context, admitted)
            except OSError as error:
                raise _unable(host, error) from error
            if not config.tlsverify:
                log.warning("listening without --tlsverify " + INSECURE, host=host)
        log.info("listening", host=host, tls=context is not None and "tcp" in host)


def _unable(host: str, error: OSError) -> Conflict | Failed:
    why = f"cannot listen on {host}: {error.strerror or error}"
    # asyncio words what was tried into the error, and keeps the number.
    return Conflict(why) if error.errno == errno.EADDRINUSE else Failed(why)
