"""Metrics for Prometheus, over HTTP on an address of their own (`--metrics-addr`).

Nothing is measured here: what the floors below count is read when somebody
asks. The Prometheus library is loaded only if metrics are served.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

import fairlead
from fairlead.cli.config import split_endpoint
from fairlead.http.server import Request, Response, Server
from fairlead.model.errors import Conflict, Failed, Unavailable

if TYPE_CHECKING:
    from fairlead.api.served import Traffic
    from fairlead.controller.controller import Controller
    from fairlead.controller.tally import Durations, Tally
    from fairlead.dataplane.client import Dataplane
    from fairlead.engine.engine import Engine
    from fairlead.ipam.pool import Base
    from fairlead.model.world import World

PREFIX = "fairlead_"
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Daemon(Collector):
    """Everything about one daemon that is worth a figure."""

    def __init__(
        self, controller: Controller, engine: Engine, tally: Tally, traffic: Traffic
    ) -> None:
        self._controller = controller
        self._engine = engine
        self._tally = tally
        self._traffic = traffic
        self.dataplane: Mapping[str, Any] = {}
        """What the dataplane last said of itself; empty: it did not answer."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on what happened."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        build = InfoMetricFamily(PREFIX + "build", "What runs here")
        build.add_metric([], {"version": fairlead.__version__})
        yield build
        yield from _world(self._controller.world)
        yield from _subnets(self._controller.world, self._controller.settings.bases)
        yield _containers(self._engine)
        yield from _changes(self._tally)
        mended = self._controller.healer.repairs
        yield _counter("mended", "Times damage by others was put right", (), {(): mended})
        yield from _dataplane(self.dataplane)
        yield from _requests(self._traffic)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]
) -> CounterMetricFamily:
    found = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in sorted(values.items(), key=str):
        words = key if isinstance(key, tuple) else (key,)
        found.add_metric([str(word) for word in words], value)
    return found


def _histogram(
    name: str, text: str, label: str, found: Mapping[str, Durations]
) -> HistogramMetricFamily:
    made = HistogramMetricFamily(PREFIX + name, text, labels=[label])
    for key, durations in sorted(found.items()):
        made.add_metric([key], durations.cumulative(), durations.total_seconds)
    return made


def _world(world: World) -> Iterator[Metric]:
    networks = GaugeMetricFamily(PREFIX + "networks", "Networks by driver", labels=["driver"])
    drivers = [net.driver for net in world.networks.values()]
    for driver in sorted(set(drivers)):
        networks.add_metric([driver], drivers.count(driver))
    yield networks
    yield _gauge("endpoints", "Interfaces of containers on networks", len(world.endpoints))
    namespaces = sum(not box.access for box in world.sandboxes.values())
    yield _gauge("sandboxes", "Network namespaces of containers", namespaces)
    ports = GaugeMetricFamily(
        PREFIX + "published_ports", "Ports published on the host", labels=["protocol"]
    )
    protocols = [port.protocol for box in world.sandboxes.values() for port in box.ports]
    for protocol in ("tcp", "udp"):
        ports.add_metric([protocol], protocols.count(protocol))
    yield ports
    yield from _pools(world)


def _subnets(world: World, bases: Sequence[Base]) -> Iterator[Metric]:
    size = GaugeMetricFamily(
        PREFIX + "default_subnets", "Subnets for networks that choose none", labels=["base"]
    )
    used = GaugeMetricFamily(
        PREFIX + "default_subnets_used", "Those that a network has", labels=["base"]
    )
    taken = [pool.subnet for net in world.networks.values() for pool in net.pools]
    for base in bases:
        size.add_metric([str(base.range)], float(1 << (base.size - base.range.prefixlen)))
        mine = [s for s in taken if s.version == base.range.version and s.overlaps(base.range)]
        used.add_metric([str(base.range)], len(mine))
    yield size
    yield used


def _pools(world: World) -> Iterator[Metric]:
    labels = ["network", "subnet"]
    used = GaugeMetricFamily(
        PREFIX + "pool_addresses_used", "Addresses of a subnet in use", labels=labels
    )
    size = GaugeMetricFamily(
        PREFIX + "pool_addresses", "Addresses of a subnet that containers may have", labels=labels
    )
    for net in world.networks.values():
        taken = {a.ip for e in world.on_network(net.id) for a in e.addresses}
        for pool in net.pools:
            within = pool.ip_range or pool.subnet
            key = [net.name, str(pool.subnet)]
            kept = {pool.gateway, *pool.auxiliary.values()} - {None}
            used.add_metric(key, sum(a in within for a in taken))
            reserved = sum(a in within for a in kept if a is not None)
            ends = 2 if within.num_addresses > 2 and within == pool.subnet else 0
            size.add_metric(key, float(within.num_addresses - ends - reserved))
    yield used
    yield size


def _containers(engine: Engine) -> Metric:
    found = GaugeMetricFamily(PREFIX + "containers", "Containers by state", labels=["state"])
    states = [container.status for container in engine.containers.all()]
    for state in sorted({"running", *states}):
        found.add_metric([state], states.count(state))
    return found


def _changes(tally: Tally) -> Iterator[Metric]:
    yield _histogram(
        "change_duration_seconds", "How long changes of networks took", "kind", tally.changes
    )
    yield _counter(
        "change_failures", "Changes of networks that were not made", ("kind",), tally.failures
    )
    yield _counter(
        "host_comparisons", "Times the host was compared with the plan", (), {(): tally.repairs}
    )
    yield _counter(
        "drift_steps", "Steps taken because the host was not as planned", (), {(): tally.drift}
    )
    refusals = {errno.errorcode.get(n, str(n)): count for n, count in tally.refusals.items()}
    yield _counter(
        "kernel_refusals", "Steps that the kernel refused, by error", ("error",), refusals
    )


def _dataplane(found: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("dataplane_up", "Whether the dataplane answers", bool(found))
    if not found:
        return
    yield _counter(
        "dns_queries",
        "Questions of containers by what became of them",
        ("outcome",),
        found.get("queries", {}),
    )
    yield _gauge("dns_resolvers", "Name servers inside containers", found.get("resolvers", 0))
    yield _gauge("proxies", "Published ports that a proxy serves", found.get("proxies", 0))


def _requests(traffic: Traffic) -> Iterator[Metric]:
    yield _counter(
        "http_requests", "Requests answered", ("method", "route", "status"), traffic.statuses
    )
    yield _histogram(
        "http_request_duration_seconds",
        "How long answers took to begin",
        "route",
        traffic.durations,
    )


class Metrics:
    """Serves `/metrics`."""

    def __init__(self, daemon: Daemon, dataplane: Dataplane) -> None:
        self._daemon = daemon
        self._dataplane = dataplane
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(daemon)
        ProcessCollector(registry=self._registry)

    async def handler(self, request: Request) -> Response:
        """Answer one request: there is one page."""
        if request.path != "/metrics" or request.method not in ("GET", "HEAD"):
            return Response(404, b"metrics are at /metrics\n", TEXT)
        try:
            self._daemon.dataplane = await self._dataplane.stats()
        except Unavailable:
            # It is being started again; that it is away is a metric itself.
            self._daemon.dataplane = {}
        return Response(200, generate_latest(self._registry), {"Content-Type": CONTENT_TYPE_LATEST})

    def on_error(self, error: BaseException) -> Response:
        """An error as an answer."""
        return Response(500, f"{error}\n".encode(), TEXT)


async def serve(metrics: Metrics, where: str) -> Server:
    """Begin to serve. Raises Conflict if the address is taken."""
    server = Server(metrics.handler, metrics.on_error)
    address, port = split_endpoint(where)
    try:
        await server.listen_tcp(address, port)
    except OSError as error:
        why = f"metrics-addr: cannot listen on {where}: {error.strerror or error}"
        raise (Conflict if error.errno == errno.EADDRINUSE else Failed)(why) from error
    return server
