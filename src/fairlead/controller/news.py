"""news: addresses of networks that span hosts that somebody has now. Pure.

A container that spoke with the last owner of an address keeps that one's MAC for half a
minute or more, and on these networks a new owner has another. So those on this host are
told of everybody who comes, be it here or on another host. Where hosts route to each other
it is the bridge that stands for those on other hosts.

Once is enough, for nothing is lost on the way; a network that wants none has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.controller import want
from fairlead.controller.extent import Extent
from fairlead.controller.want import Host
from fairlead.driver import bridge, overlay
from fairlead.model.advertising import advertising
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network, span
from fairlead.model.peer import Peer
from fairlead.model.state import HOST
from fairlead.model.step import Announce
from fairlead.model.world import World

MOST = 256
"""When so many come at once it is a start, at which nobody remembers anybody."""


def news(before: World, after: World, what: Extent, host: Host) -> tuple[Announce, ...]:
    """Who has come, for those who are on this host's part of a network."""
    found = tuple(_news(before, after, what, host))
    return found if len(found) <= MOST else ()


def _news(before: World, after: World, what: Extent, host: Host) -> Iterator[Announce]:
    came: list[Peer | Endpoint] = [
        after.peers[id_] for id_ in what.peers if id_ in after.peers and id_ not in before.peers
    ]
    for box in what.boxes:
        came += [e for e in after.in_sandbox(box) if e.id not in before.endpoints]
    for who in came:
        net = after.networks.get(who.network)
        if net is not None and not advertising(net.options).messages:
            continue
        if net is not None and want.routed_here(after, net, host):
            mac = who.mac if isinstance(who, Endpoint) else bridge.mac(net)
            for address in who.addresses:
                yield Announce(HOST, net.ifname, address.ip, mac)
        elif net is not None and net.driver == "overlay" and want.tunnelled(after, net, host):
            yield from _announced(net, who)


def _announced(net: Network, who: Peer | Endpoint) -> Iterator[Announce]:
    link = f"br{overlay.segment(net, who.addresses)}"
    for address in who.addresses:
        yield Announce(span(net.id), link, address.ip, who.mac)
