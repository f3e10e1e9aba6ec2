"""The dataplane again: it may have lived on through a restart, or be new and know nothing."""

from __future__ import annotations

from dataclasses import replace

from fairlead.controller import serving
from fairlead.controller.commit import Committer
from fairlead.controller.serving import Serving
from fairlead.controller.telling import Sockets, dataplane_changes
from fairlead.dataplane.change import Change, DropNames, DropProxy, DropResolver
from fairlead.dataplane.client import Proxy
from fairlead.kernel.sockets import PortTaken
from fairlead.model.state import IPAddress
from fairlead.model.world import World


async def resume(committer: Committer, world: World, upstreams: tuple[IPAddress, ...]) -> list[str]:
    """Bring the dataplane to what the world says; ports that could not be had again.

    What it holds is known by name only, so everything that it keeps is said again.
    """
    await committer.dataplane.ensure()
    lost: list[str] = []
    state = await committer.dataplane.state()
    has = serving.serving(world, upstreams, proxied=committer.host.proxy)
    held = {proxy.id for proxy in state.proxies if _as_wanted(proxy, has)}
    other = [DropProxy(proxy.id) for proxy in state.proxies if proxy.id not in held]
    await committer.dataplane.apply(other)
    sockets = Sockets()

    def work() -> None:
        for box in has.views.keys() - state.resolvers:
            space = world.sandboxes[box].namespace
            sockets.resolvers[box] = committer.kernel.resolver_sockets(space)
        for id_ in has.ports.keys() - held:
            port = has.ports[id_].port
            try:
                sockets.ports[id_] = committer.kernel.reserve(
                    port.protocol, port.host_ip, port.host_port
                )
            except PortTaken as error:
                lost.append(f"{error.message}: {error.hint}")

    try:
        await committer.on_thread(work)
        changes: list[Change] = [
            DropNames(zone, endpoint)
            for zone, endpoints in state.names.items()
            for endpoint in endpoints
            if (zone, endpoint) not in has.names
        ]
        changes += [DropResolver(box) for box in state.resolvers - has.views.keys()]
        served = {id_: t for id_, t in has.ports.items() if id_ in held or id_ in sockets.ports}
        now = replace(has, ports=served)
        await committer.dataplane.apply(changes + dataplane_changes(Serving(), now, sockets))
    finally:
        sockets.close()
    return lost


def _as_wanted(proxy: Proxy, has: Serving) -> bool:
    """Whether a port is served as it should be; where it leads can still be said."""
    wanted = has.ports.get(proxy.id)
    return wanted is not None and wanted.protocol == proxy.proto
