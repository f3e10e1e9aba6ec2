"""A container's networks: from its documents to the controller's requests, and back.

What a container asked for is in its record; what it has is in the controller's
world while it runs. Nothing is kept twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from fairlead.engine import ports, resolv, sharing
from fairlead.engine.documents import EndpointSettings, IpamConfig
from fairlead.engine.holds import held
from fairlead.engine.needs import Join, Networks
from fairlead.engine.record import Container, Record
from fairlead.engine.settings import Settings
from fairlead.engine.shelf import Shelf
from fairlead.model import errors
from fairlead.model.endpoint import Endpoint, EndpointRequest, Port, PortRequest
from fairlead.model.errors import Conflict, Failed, FairleadError, Forbidden, Invalid, NotFound
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox, SandboxRequest

PROJECT_LABEL = "com.docker.compose.project"
SHARED = (
    "container sharing network namespace with another container or host cannot be connected "
    "to any other network"
)
PRIVATE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)


SHORT_ID = 12


def prefixed(prefix: str, error: FairleadError) -> FairleadError:
    """The same refusal with more words in front; its kind and hint stay."""
    kind = next(c for c in type(error).__mro__ if c.__module__ == errors.__name__)
    return kind(prefix + error.message, hint=error.hint)  # type: ignore[no-any-return]


def endpoint_request(settings: EndpointSettings, links: tuple[str, ...] = ()) -> EndpointRequest:
    """How the controller is asked for an endpoint."""
    ipam = settings.ipam_config or IpamConfig()
    return EndpointRequest(
        ipv4=ipam.ipv4_address,
        ipv6=ipam.ipv6_address,
        mac=settings.mac_address,
        aliases=tuple(settings.aliases or ()),
        links=links,
        link_local=tuple(ipam.link_local_ips or ()),
        options=dict(settings.driver_opts or {}),
        priority=settings.gw_priority,
    )


class Networking:
    """Opens, changes and closes the sandboxes of containers."""

    def __init__(self, controller: Networks, shelf: Shelf, settings: Settings) -> None:
        self.controller = controller
        self._shelf = shelf
        self._settings = settings

    # What is

    def sandbox(self, container: Container) -> Sandbox | None:
        """The sandbox of a container that runs."""
        return self.controller.world.sandboxes.get(container.sandbox)

    def endpoints(
        self, container: Container
    ) -> list[tuple[str, EndpointSettings, Endpoint | None]]:
        """Networks by name in the order of joining: what was asked, and the endpoint there is."""
        world = self.controller.world
        live = {world.networks[e.network].name: e for e in world.joined(container.sandbox)}
        return [(n, s, live.get(n)) for n, s in container.record.networks.items()]

    def ports(self, container: Container) -> tuple[Port, ...]:
        """The ports published now."""
        sandbox = self.sandbox(container)
        return sandbox.ports if sandbox is not None else ()

    def names(self, container: Container) -> list[str]:
        """Names and ids of the networks a container is configured for, and its mode."""
        found = [container.record.host.network_mode]
        for name in container.record.networks:
            found.append(name)
            network = self._known(name)
            if network is not None:
                found.append(network.id)
        return found

    def _known(self, ref: str) -> Network | None:
        try:
            return self.controller.network(ref)
        except NotFound:
            return None

    # What is asked for

    def resolve(
        self, record: Record, asked: Mapping[str, EndpointSettings]
    ) -> dict[str, EndpointSettings]:
        """The networks of a new container, the main one first, checked as far as they exist."""
        mode = record.host.network_mode
        if record.container_mode or record.config.network_disabled is True:
            return {}
        main = self._name(mode)
        named = {self._name(ref): settings for ref, settings in asked.items()}
        found = {main: named.pop(main, EndpointSettings()), **named}
        if self._is_user_defined(main) and record.host.links:
            # Links of a container on a network of one's own are that endpoint's.
            links = [*(found[main].links or ()), *record.host.links]
            found[main] = msgspec.structs.replace(found[main], links=links)
        return found

    def _name(self, ref: str) -> str:
        if ref in ("", "default"):
            return "bridge"
        network = self._known(ref)
        return network.name if network is not None else ref

    def _is_user_defined(self, name: str) -> bool:
        return name not in ("bridge", "host", "none")

    def check(self, networks: Mapping[str, EndpointSettings]) -> None:
        """Refuse endpoint settings that their networks could not grant."""
        for name, settings in networks.items():
            network = self._known(name)
            # Host and none have no endpoints to speak of.
            if network is None or name in ("host", "none"):
                continue
            try:
                self.controller.check_endpoint(name, endpoint_request(settings))
            except FairleadError as error:
                raise prefixed(f"invalid config for network {name}: ", error) from error

    def _links(self, settings: EndpointSettings) -> tuple[str, ...]:
        """Links with the present name of their target, ``target:alias``."""
        found = []
        for entry in settings.links or ():
            target, _, alias = entry.partition(":")
            try:
                name = self._shelf.find(target).name
            except (NotFound, Invalid):
                # Whoever takes the name later is linked then.
                name = target.removeprefix("/")
            found.append(f"{name}:{alias or target.removeprefix('/')}")
        return tuple(found)

    def _join(self, record: Record, network: str, settings: EndpointSettings) -> EndpointRequest:
        """How a start asks for an endpoint; legacy links are of the default bridge."""
        request = self._request(settings)
        if network != "bridge":
            return request
        legacy = tuple(f"{target}:{alias}" for target, alias in record.links)
        return replace(request, links=(*request.links, *legacy))

    def _request(self, settings: EndpointSettings) -> EndpointRequest:
        return endpoint_request(settings, self._links(settings))

    def port_requests(self, record: Record) -> tuple[PortRequest, ...]:
        """The ports that a container is to be published on."""
        if record.host.network_mode in ("host", "none") or not record.networks:
            return ()
        return ports.requests(
            record.host.port_bindings,
            record.config.ports,
            publish_all=record.host.publish_all_ports,
        )

    # What changes

    async def open(self, container: Container) -> None:
        """Make the sandbox of a container, with all its networks and ports: all or nothing."""
        record = container.record
        self._check_together(record)
        # A sandbox that others share outlived the container: it moves in again.
        id = container.sandbox or secrets.token_hex(32)  # noqa: A001
        request = SandboxRequest(
            id=id,
            container=record.id,
            name=record.name,
            hostname=record.config.hostname,
            domainname=record.config.domainname,
            dns=tuple(record.host.dns) or self._settings.dns,
            dns_search=tuple(record.host.dns_search) or self._settings.dns_search,
            dns_options=tuple(record.host.dns_options)
            or self._settings.dns_options
            or resolv.options(),
            host=record.host_mode,
            exposed=ports.numbers(record.config.ports),
            project=record.config.labels.get(PROJECT_LABEL, ""),
            dns_default=not record.host.dns,
        )
        joins: list[Join] = [(n, self._join(record, n, s)) for n, s in record.networks.items()]
        try:
            await self.controller.open_sandbox(request, joins, self.port_requests(record))
        except FairleadError as error:
            raise prefixed("failed to set up container networking: ", error) from error
        container.plugged = True
        container.change(sandbox=id)
        container.change(addresses=held(self.controller.world, container))

    async def close(self, container: Container) -> None:
        """Let go of a container's sandbox, and of the one it shares. Whoever is left in keeps it.

        Who shares a sandbox is asked before anything is awaited, so that of two who leave at
        once the second closes it.
        """
        container.standing = container.plugged = False
        own, shared = container.sandbox, container.record.shares
        container.change(shares="")
        if own:
            keep = sharing.shared(self._shelf, own)
            if not keep:
                container.change(sandbox="")
            try:
                await self.controller.close_sandbox(own, keep=keep)
            except BaseException:
                # It still stands, and is closed before the next start or by the removal.
                container.change(sandbox=own)
                raise
        if shared and sharing.abandoned(self._shelf, shared):
            owner = sharing.owner(self._shelf, shared)
            if owner is not None:
                owner.change(sandbox="")
                self._shelf.save(owner)
            await self.controller.close_sandbox(shared)

    def _check_together(self, record: Record) -> None:
        if len(record.networks) < 2:
            return
        why = SHARED if record.host_mode else PRIVATE if "none" in record.networks else ""
        if why:
            raise Invalid(f"failed to set up container networking: {why}")

    async def connect(
        self, container: Container, network: Network, settings: EndpointSettings
    ) -> None:
        """Put a container on one more network, now if it runs and at every start."""
        record = container.record
        self._may_connect(record, network)
        if network.name in record.networks:
            raise Forbidden(
                f"endpoint with name {record.name} already exists in network {network.name}"
            )
        request = self._request(settings)
        self.controller.check_endpoint(network.name, request)
        if container.running:
            await self.controller.join(record.sandbox, network.name, request)
            container.change(addresses=held(self.controller.world, container))
        container.change(networks={**container.record.networks, network.name: settings})

    def _may_connect(self, record: Record, network: Network) -> None:
        if record.container_mode or record.host_mode:
            if network.name == "host" and record.host_mode:
                raise Forbidden(f"endpoint with name {record.name} already exists in network host")
            raise Invalid(SHARED)
        if network.driver == "host":
            raise Invalid(
                "cannot connect container to host network - container must be created in host "
                "network mode"
            )
        alone = network.driver == "null" and record.networks
        if alone or "none" in record.networks:
            raise Invalid(PRIVATE)
        if record.removing:
            raise Conflict(
                f"Container {record.id} is marked for removal and cannot be connected "
                "or disconnected to the network"
            )

    def strays(self, network: Network, ref: str) -> list[Endpoint]:
        """The endpoints of a network that go by an id or name: their own, or their sandbox's."""
        world = self.controller.world
        found = []
        for endpoint in world.on_network(network.id):
            if endpoint.service:
                continue
            box = world.sandboxes[endpoint.sandbox]
            if box.access:
                continue
            known = ref in (box.name, box.container, f"ep-{endpoint.id}")
            if known or (len(ref) >= SHORT_ID and endpoint.id.startswith(ref)):
                found.append(endpoint)
        return found

    async def disconnect(self, container: Container, network: Network) -> None:
        """Take a container off a network, now and for good."""
        record = container.record
        if network.driver == "host" and record.host_mode:
            raise Invalid(
                "cannot disconnect container from host network - container was created in host "
                "network mode"
            )
        if network.name not in record.networks:
            raise Failed(f"container {record.id} is not connected to network {network.name}")
        live = any(n == network.name and e for n, _, e in self.endpoints(container))
        if container.running and live:
            await self.controller.leave(record.sandbox, network.name)
        left = {n: s for n, s in record.networks.items() if n != network.name}
        container.change(networks=left)
