"""This host in its cluster: who it is there, and what keeps it a member while the daemon runs."""

from __future__ import annotations

import asyncio
import base64
import platform
import secrets
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from fairlead.cli.cluster import Cluster
from fairlead.cli.config import Config
from fairlead.cluster.keys import Keys
from fairlead.cluster.node import Node
from fairlead.controller.controller import Controller
from fairlead.controller.plugins.plugins import Plugins
from fairlead.controller.shared.history import History
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.seal import Rotated
from fairlead.engine.log import structlog
from fairlead.gossip import agent as serf
from fairlead.gossip.agent import Agent
from fairlead.gossip.gossip import node_name
from fairlead.gossip.keys import OPTION, read_key
from fairlead.gossip.process import Settings
from fairlead.kernel.surroundings import address_on, has_address
from fairlead.model.errors import Invalid, NotFound
from fairlead.model.state import IPAddress
from fairlead.store.opening import open_store
from fairlead.store.trail import Trail

log = structlog.get_logger()
GOSSIP_KEY_BYTES = 32
PORT = 2376
"""What others are told if nobody says otherwise: Docker's port for its API with TLS."""
READY_SECONDS = 5.0
"""So long the start waits for what the store says; without it, it goes on with what it knew."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the other hosts of a cluster know this one."""

    cluster: Cluster
    node: Node


def standing(cluster: Cluster) -> Standing:
    """Who this host is in a cluster. Raises Invalid when it has no address to be reached by."""
    told = cluster.advertised
    if told is None:
        return Standing(cluster, Node(_towards(cluster), PORT))
    if told.address is not None:
        if not has_address(told.address):
            # Two hosts that say they are at one address would take away each other's endpoints.
            raise Invalid(
                f"--cluster-advertise: no interface of this host has {told.address}",
                hint="name an address or an interface of this host",
            )
        return Standing(cluster, Node(told.address, told.port))
    address = address_on(told.interface)
    if address is None:
        raise Invalid(
            f"--cluster-advertise: the interface {told.interface} has no address",
            hint="name one that has, or an address",
        )
    return Standing(cluster, Node(address, told.port))


@dataclass(frozen=True, slots=True)
class Belonging:
    """What people ask of a membership."""

    member: Member
    gossip: Agent | None

    async def rotate(self) -> Rotated:
        """New keys for all that the cluster encrypts. Raises NotFound when that is nothing."""
        encrypted = self.gossip is not None and self.gossip.encrypted
        try:
            ring = await self.member.seal.turn()
        except NotFound:
            if not encrypted:
                raise
            ring = None
        if self.gossip is not None and encrypted:
            drawn = base64.b64encode(secrets.token_bytes(GOSSIP_KEY_BYTES)).decode()
            await self.gossip.rotate(drawn)
        return Rotated(ring.generation if ring else 0, len(ring.members) if ring else 0, encrypted)


async def become_member(
    stack: AsyncExitStack,
    config: Config,
    controller: Controller,
    plugins: Plugins,
    who: Standing,
    engine: str,
) -> Belonging:
    """Follow the cluster from now on; what was opened is closed by the stack."""
    cluster = who.cluster
    store = open_store(cluster.url, cluster.options)
    stack.push_async_callback(store.close)
    gossip = _gossip(config, who, engine)
    if gossip is not None:
        await _keep(stack, "gossip", gossip.run())
    discovery = cluster.discovery
    place = Place(store, Keys(nodes_path=discovery.path))
    membership = Membership(
        who.node,
        discovery.heartbeat_seconds,
        discovery.ttl_seconds,
        name=platform.node(),
        secret=cluster.secret,
    )
    trail = Trail(config.data_root / "cluster" / "addresses", controller.warn)
    member = Member(place, membership, controller, gossip, history=History(trail=trail))
    controller.outside = member.says(controller.outside)
    controller.committed.append(member.heed)
    hosts: asyncio.Queue[tuple[IPAddress, bool]] = asyncio.Queue()
    member.met.append(lambda host, came: hosts.put_nowait((host, came)))
    await _keep(stack, "membership", member.run())
    await _keep(stack, "discovery", _tell(plugins, hosts, who.node.address))
    try:
        async with asyncio.timeout(READY_SECONDS):
            await member.ready.wait()
    except TimeoutError:
        log.warning("the cluster's store has not answered yet; the start goes on", store=store.name)
    told = member.told()
    log.info("member of a cluster", host=told.advertised, store=told.store, hears=told.hears)
    return Belonging(member, gossip)


def _gossip(config: Config, who: Standing, engine: str) -> Agent | None:
    key = who.cluster.options.get(OPTION, "")
    settings = Settings(
        node_name(platform.node(), engine), who.node.address, read_key(key) if key else ""
    )
    return serf.agent(config.data_root / "gossip", settings, log.warning)


async def _tell(
    plugins: Plugins, hosts: asyncio.Queue[tuple[IPAddress, bool]], own: IPAddress
) -> None:
    """Tell drivers that are not ours of the hosts that come and go."""
    while True:
        host, came = await hosts.get()
        for trouble in await plugins.discover(came, str(host), mine=host == own):
            log.warning(trouble)


async def _keep(stack: AsyncExitStack, what: str, work: Coroutine[Any, Any, None]) -> None:
    """Let it run until the stack is closed; its end before that is told."""
    task = asyncio.create_task(work, name=what)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            reason = repr(task.exception())
            log.error(f"{what} has ended: restart the daemon", reason=reason)

    task.add_done_callback(ended)

    async def end() -> None:
        task.cancel()
        await asyncio.wait({task})

    stack.push_async_callback(end)


def _towards(cluster: Cluster) -> IPAddress:
    """The address with which this host speaks to the store: others reach it by that as well."""
    server = cluster.place.servers[0]
    hint = "say --cluster-advertise"
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
        family, _, _, _, where = found[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            # Nothing is sent: the kernel only looks which way it would go.
            sock.connect(where)
            address = ip_address(sock.getsockname()[0])
    except OSError as error:
        raise Invalid(f"no way to the cluster's store at {server}: {error}", hint=hint) from error
    if address.is_loopback:
        raise Invalid("the cluster's store is on this host: others need its address", hint=hint)
    return address
