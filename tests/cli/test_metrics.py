"""Metrics: what Prometheus is told is what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docker.images import PYTHON, TALK
from tests.docker.stage import eventually
from tests.lab import Daemon, Switch

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """One for all tests."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(switch: Switch) -> Iterator[Daemon]:
    """A daemon that serves metrics, with a container on a network."""
    with Daemon(switch.machine(), "--metrics-addr", "127.0.0.1:9323") as running:
        running.import_busybox()
        running.docker("network", "create", "--subnet", "10.9.0.0/24", "front")
        words = ["--network", "front", "-p", "8080:80", "busybox", "sleep", "1000"]
        running.docker("run", "-d", "--name", "web", *words)
        yield running


def page(daemon: Daemon) -> str:
    """What Prometheus gets."""
    words = [PYTHON, str(TALK), "fetch", "http://127.0.0.1:9323/metrics"]
    return daemon.machine.run(words).stdout


def figures(daemon: Daemon) -> Callable[..., float]:
    """Looks a metric up, by name and labels."""
    samples = [s for f in text_string_to_metric_families(page(daemon)) for s in f.samples]

    def figure(name: str, **labels: str) -> float:
        found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0]

    return figure


def test_what_there_is(daemon: Daemon) -> None:
    """Networks, endpoints, sandboxes, ports, addresses, containers."""
    figure = figures(daemon)
    assert figure("fairlead_networks", driver="bridge") == 2
    assert figure("fairlead_endpoints") == 1
    assert figure("fairlead_sandboxes") == 1
    assert figure("fairlead_published_ports", protocol="tcp") == 2
    assert figure("fairlead_containers", state="running") == 1
    assert figure("fairlead_pool_addresses_used", network="front") == 1
    assert figure("fairlead_pool_addresses", network="front") == 253
    assert figure("fairlead_default_subnets", base="172.17.0.0/16") == 1
    assert figure("fairlead_default_subnets_used", base="172.17.0.0/16") == 1
    assert figure("fairlead_default_subnets", base="192.168.0.0/16") == 16
    assert figure("fairlead_default_subnets_used", base="192.168.0.0/16") == 0
    assert figure("fairlead_build_info") == 1
    assert figure("process_resident_memory_bytes") > 0


def test_what_was_done(daemon: Daemon) -> None:
    """Changes by kind, requests by route."""
    figure = figures(daemon)
    assert figure("fairlead_change_duration_seconds_count", kind="network-create") == 1
    assert figure("fairlead_change_duration_seconds_count", kind="sandbox-open") == 1
    before = figure("fairlead_http_requests_total", route="/_ping", method="HEAD")
    daemon.docker("version")
    after = figures(daemon)("fairlead_http_requests_total", route="/_ping", method="HEAD")
    assert after > before
    daemon.api("GET", "/networks/nosuch")
    figure = figures(daemon)
    assert figure("fairlead_http_requests_total", route="/networks/{id}", status="404") == 1


def test_names(daemon: Daemon) -> None:
    """Questions are counted by the process that answers them, which outlives the daemon."""
    daemon.docker("exec", "web", "nslookup", "web", check=False)
    figure = figures(daemon)
    assert figure("fairlead_dataplane_up") == 1
    assert figure("fairlead_dns_queries_total", outcome="local") >= 1
    assert figure("fairlead_dns_resolvers") == 1


def test_damage(daemon: Daemon) -> None:
    """What was not as planned at the start shows, and what others broke and was put right."""
    assert figures(daemon)("fairlead_drift_steps_total") > 0, "the first start is one"
    daemon.docker("network", "create", "frail")
    bridge = daemon.api("GET", "/networks/frail").json["Id"][:12]
    daemon.machine.run(["ip", "link", "delete", f"br-{bridge}"])
    eventually(lambda: figures(daemon)("fairlead_mended_total") > 0)


def test_others_do_not_reach_it(daemon: Daemon, switch: Switch) -> None:
    """It listens on the loopback."""
    neighbour = switch.machine("neighbour")
    words = [PYTHON, str(TALK), "ask", "tcp", str(daemon.machine.address), "9323"]
    assert neighbour.run(words).stdout.strip() == "refused"
