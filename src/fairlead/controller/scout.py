"""Where a packet would begin its way on this host: addresses, link and Ethernet addresses.

Asked of the routes in the namespaces of both ends, on the kernel thread; nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from fairlead.kernel.tracing import Tracing
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.network import Network
from fairlead.model.packet import Flow, Way
from fairlead.model.state import HOST, IPAddress
from fairlead.model.world import World
from fairlead.plan.trace.ends import Asked, End, holder, meeting, published
from fairlead.plan.trace.outcome import Answer, Outcome, nobody

FAR = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8::1")}
"""Addresses that are nobody's: what is for them leaves by the default route."""
LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
LO = "lo"


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a way.

    A packet comes in `by` a link of the host, or (empty) is this host's own; `past` is what it
    goes by where no rule of this host's sees it, and `ended` says that it gets nowhere at all.
    """

    source: End
    target: End
    flow: Flow
    by: str = ""
    macs: tuple[str, str] = ("", "")
    said: tuple[str, ...] = ()
    past: str = ""
    ended: Outcome | None = None


class Scout:
    """Looks at one world and the host under it."""

    def __init__(self, world: World, tracing: Tracing) -> None:
        self._world = world
        self._tracing = tracing

    def start(self, asked: Asked) -> Start:
        """How a packet sets out. Raises Invalid, Conflict."""
        source, target = self._ours(asked.source), self._ours(asked.target)
        to = self._destination(source, target, asked)
        if source.address is not None and source.address.version != to.version:
            raise Invalid(
                f"{source.address} and {to} are not of one family",
                hint="name both ends by addresses of the same",
            )
        target = self._ours(replace(target, address=to))
        if source.box is not None:
            return self._from_box(source, target, to, asked)
        if source.host:
            return self._from_host(source, target, to, asked)
        return self._from_outside(source, target, to, asked)

    def _ours(self, end: End) -> End:
        """An address of this host's own is this host."""
        if end.box is not None or end.host or end.address is None:
            return end
        return replace(end, host=self._tracing.way(HOST, end.address).local)

    def _destination(self, source: End, target: End, asked: Asked) -> IPAddress:
        if target.address is not None:
            return target.address
        version = source.address.version if source.address is not None else 4
        if target.box is not None:
            where = meeting(self._world, source, target.box)
            if where is None:
                raise Conflict(f"{target.name} is on no network", hint="connect it to one")
            found = where.ipv4 if version == 4 else where.ipv6
            return (found or where.addresses[0]).ip
        if source.host:
            return LOOPBACK[version]
        mine: IPAddress | None = None
        if source.box is None and source.address is not None:
            mine = self._tracing.way(HOST, source.address).source
        mine = mine or self._own(asked, version)
        if mine is None:
            raise Conflict(f"this host has no address for {source.name}", hint="name one")
        return mine

    def _own(self, asked: Asked, version: int) -> IPAddress | None:
        """The address under which the world knows this host, or a port of it."""
        for _, port in published(self._world, asked.protocol, asked.port):
            fixed = port.host_ip
            if fixed.version == version and not fixed.is_unspecified and not fixed.is_loopback:
                return fixed
        found = self._tracing.way(HOST, FAR[version]).source
        gateways = (g for e in self._world.endpoints.values() for g in e.gateways)
        return found or next((g for g in gateways if g.version == version), None)

    # Who sends

    def _from_outside(self, source: End, target: End, to: IPAddress, asked: Asked) -> Start:
        assert source.address is not None
        flow = Flow(asked.protocol, source.address, to, asked.port)
        back = self._tracing.way(HOST, source.address)
        if back.refusal:
            why = f"this host could not answer {source.address}: {back.refusal}"
            return Start(source, target, flow, ended=Outcome(Answer.CLOSED, why))
        mac = self._tracing.macs().get(back.link, "")
        said = (f"  comes   by {back.link}",)
        return Start(source, target, flow, back.link, (mac, ""), said)

    def _from_host(self, source: End, target: End, to: IPAddress, asked: Asked) -> Start:
        way = self._tracing.way(HOST, to)
        own = source.address or way.source
        flow = Flow(asked.protocol, own or to, to, asked.port)
        if way.refusal or own is None:
            why = f"this host does not reach {to}: {way.refusal or 'it has no address for that'}"
            return Start(source, target, flow, ended=Outcome(Answer.CLOSED, why))
        return Start(source, target, flow, said=(f"  goes    by {_by(way)}",))

    def _from_box(self, source: End, target: End, to: IPAddress, asked: Asked) -> Start:
        assert source.box is not None
        way = self._tracing.way(source.namespace, to)
        where = self._endpoint(source, way)
        own = source.address or way.source or self._any(source, to.version) or to
        flow = Flow(asked.protocol, own, to, asked.port)
        if way.refusal:
            why = f"{source.name} does not reach {to}: {way.refusal}"
            return Start(source, target, flow, ended=Outcome(Answer.CLOSED, why, self._out(source)))
        start = Start(source, target, flow, said=(f"  goes    by {_by(way)} of {source.name}",))
        if way.local or where is None:
            return replace(start, target=End(source.box, to), past=f"{source.name} itself")
        net = self._world.networks[where.network]
        name = f"network {net.name}"
        start = replace(start, said=(f"{start.said[0]}, which is on {name}",))
        if not net.ifname:
            passes = f"  passes  none of this host's rules: {name} is of driver {net.driver}"
            there = holder(self._world, to)
            here = there is not None and there.network == net.id
            target = target if here else End(None, to)
            return replace(start, target=target, said=(*start.said, passes), past=name)
        mac = self._next(net, way, to)
        if not mac:
            return replace(start, ended=nobody(way.via or to, net))
        return replace(start, by=where.ifname, macs=(mac, where.mac))

    def _endpoint(self, source: End, way: Way) -> Endpoint | None:
        assert source.box is not None
        ends = self._world.in_sandbox(source.box.id)
        return next((e for e in ends if e.inside == way.link), None)

    def _next(self, net: Network, way: Way, to: IPAddress) -> str:
        """The Ethernet address to which a packet goes on a network's bridge."""
        hop = way.via or to
        found = holder(self._world, hop)
        if found is not None and found.network == net.id:
            return found.mac
        # What is for the bridge itself is for the host, which answers for members on other hosts.
        afar = (a.ip for peer in self._world.afar(net.id).values() for a in peer.addresses)
        mine = self._ours(End(None, hop)).host or hop in afar
        return self._tracing.macs().get(net.ifname, "") if mine else ""

    def _any(self, source: End, version: int) -> IPAddress | None:
        assert source.box is not None
        ends = self._world.in_sandbox(source.box.id)
        return next((a.ip for e in ends for a in e.addresses if a.version == version), None)

    def _out(self, source: End) -> str:
        """What to do about a container that has no way out."""
        assert source.box is not None
        nets = [self._world.networks[e.network] for e in self._world.in_sandbox(source.box.id)]
        if nets and all(net.internal for net in nets):
            return "its networks are internal: connect it to one that is not"
        return f"`fairlead explain {source.name}` has the routes that it should have"


def _by(way: Way) -> str:
    via = f" through {way.via}" if way.via is not None else ""
    return f"{way.link}{via}"
