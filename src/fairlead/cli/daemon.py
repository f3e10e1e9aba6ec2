"""`fairlead daemon`: puts the daemon together, runs it, takes it down.

On the way up each floor is ready before the next: store, kernel, dataplane,
controller (which repairs the host), engine (which finds its containers), and
the socket last. On the way down the reverse. Containers, names and published
ports live on.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairlead.api.api import Api
from fairlead.cli import config as configuration
from fairlead.cli import journal
from fairlead.cli.cluster import cluster
from fairlead.cli.config import Config
from fairlead.cli.docker_place import in_dockers_place, lead_to
from fairlead.cli.flags import given, options
from fairlead.cli.listen import check, listen
from fairlead.cli.membership import become_member, standing
from fairlead.cli.reload import Running
from fairlead.cli.service import Manager, inherited
from fairlead.cli.unserved import unserved
from fairlead.cli.wiring import api_settings, engine_settings, judged, network_settings
from fairlead.controller.ask import Several
from fairlead.controller.controller import Controller
from fairlead.controller.measured import Measured
from fairlead.controller.plugins.plugins import Plugins
from fairlead.controller.tally import Tally
from fairlead.dataplane.client import Dataplane
from fairlead.engine import sharing
from fairlead.engine.engine import Engine
from fairlead.engine.log import structlog
from fairlead.gossip.agent import forget
from fairlead.http.server import Server
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.surroundings import mtu_of
from fairlead.kernel.watch import Watch
from fairlead.model.errors import Conflict, FairleadError
from fairlead.model.marks import Marks
from fairlead.model.sandbox import Sandbox
from fairlead.runtime.image import Images
from fairlead.runtime.oci import Oci
from fairlead.store.lock import hold
from fairlead.store.sqlite import Store

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()
RETRY_SECONDS = 1.0


@click.command("daemon", short_help="Run the daemon")
@options
@click.option("--config-file", type=click.Path(path_type=Path), help="Instead of daemon.json")
@click.option("--validate", is_flag=True, help="Check the configuration, and do nothing else")
def daemon(config_file: Path | None, validate: bool, **flags: Any) -> None:
    """Run the daemon: networks and containers behind the Docker Engine API."""
    load = partial(_load, config_file, given(flags))
    try:
        config = load()
        if validate:
            click.echo("configuration OK", err=True)
            return
        journal.open_log("debug" if config.debug else config.log_level, config.log_format)
        asyncio.run(serve(config, load))
    except FairleadError as error:
        hint = f" ({error.hint})" if error.hint else ""
        click.echo(f"fairlead: {error.message}{hint}", err=True)
        sys.exit(1)


def _load(path: Path | None, flags: dict[str, Any]) -> Config:
    """The configuration as it is now, checked as far as that goes without a daemon."""
    config = configuration.load(path, flags)
    check(config)
    cluster(config)
    unserved(config)
    return config


async def serve(config: Config, load: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # Until there is something to reload it must not end us.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    manager, sockets = Manager(), inherited()
    for warning in unserved(config):
        log.warning(warning)
    async with AsyncExitStack() as stack:
        _hold_pidfile(stack, config.pidfile)
        running = await _put_together(stack, config, load, manager)
        server = Server(running.api.handler, running.api.on_error)
        stack.push_async_callback(_close, server, running)
        await listen(server, config, sockets, lambda: running.controller.world)
        lead_to(config.exec_root / "netns", in_dockers_place(config.hosts, sockets))
        loop.add_signal_handler(signal.SIGHUP, running.reload)
        manager.ready()
        await _until(stopped, running.controller)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        manager.stopping()
        log.info("stopping; containers live on")


async def _close(server: Server, running: Running) -> None:
    await server.close(running.config.shutdown_timeout)


async def _until(stopped: asyncio.Event, controller: Controller) -> None:
    """Wait for the end, and keep the dataplane alive until then."""
    ending = asyncio.create_task(stopped.wait())
    following = asyncio.create_task(controller.follow_upstreams())
    following.add_done_callback(_report)
    while not ending.done():
        watching = asyncio.create_task(controller.watch())
        await asyncio.wait({ending, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            log.error("the dataplane cannot be started", reason=str(watching.exception()))
            await asyncio.wait({ending}, timeout=RETRY_SECONDS)
        else:
            watching.cancel()
    following.cancel()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        reason = str(task.exception())
        log.error("changes of /etc/resolv.conf are not followed any more", reason=reason)


async def _put_together(
    stack: AsyncExitStack, config: Config, load: Callable[[], Config], manager: Manager
) -> Running:
    """Every floor on the one below. What was opened is closed by the stack."""
    config.data_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    config.exec_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    store = Store(config.data_root / "fairlead.db")
    stack.callback(store.close)
    identity, tally = engine_id(store), Tally()
    marks = Marks(identity.replace("-", "")[:8], config.iptables_prefix)
    kernel = LinuxKernel(config.exec_root / "netns", marks)
    stack.callback(kernel.close)
    dataplane = Dataplane(
        config.exec_root / "dataplane" / "control.sock", config.exec_root / "dataplane.log"
    )
    stack.push_async_callback(dataplane.close)
    walls, host = judged(config, marks)
    hosts = cluster(config)
    known = standing(hosts) if hosts is not None else None
    if known is not None:
        own = known.node.address
        host = replace(host, underlay=own, underlay_mtu=mtu_of(own))
    committer = Measured(store, kernel, dataplane, walls, host).watched(tally, journal.change)
    controller = Controller(committer, network_settings(config), config.exec_root / "netns")
    plugins = Plugins()
    controller.outside = Several(controller.leases, plugins)
    stack.push_async_callback(controller.close)
    oci = Oci(
        config.exec_root / "oci",
        prefer=config.default_runtime,
        cgroup_parent=config.cgroup_parent,
    )
    await oci.probe()
    stack.push_async_callback(oci.close)
    await _start(controller, oci, store)
    controller.healer.notices.append(lambda notice: log.warning(notice.text, **notice.detail))
    sources = (Watch(), await committer.on_thread(kernel.ears))
    controller.healer.open(sources, config.audit_interval)
    belonging = None
    if known is not None:
        belonging = await become_member(stack, config, controller, plugins, known, identity)
    else:
        await forget(config.data_root / "gossip")
    images = Images(config.data_root / "images")
    images.insecure = config.insecure_registries
    engine = Engine(
        controller, store, oci, images, config.data_root, config.exec_root, engine_settings(config)
    )
    engine.events.listeners.append(journal.event)
    await engine.start()
    stack.push_async_callback(engine.close)
    settings = api_settings(config, identity)
    if belonging is not None:
        settings = replace(settings, cluster=belonging.member.told, rotate=belonging.rotate)
    api = Api(engine, controller, settings)
    api.traffic.tell = journal.request
    running = Running(config, load, identity, platform.node(), controller, engine, api, manager)
    if config.metrics_addr:
        await _serve_metrics(stack, running, tally, dataplane)
    return running


async def _start(controller: Controller, oci: Oci, store: Store) -> None:
    """Make the host what the store says, for the containers that are alive."""
    alive = {state.id for state in await oci.recover() if state.status != "stopped"}
    kept = sharing.lived_in(store, alive)

    def lives(box: Sandbox) -> bool:
        return box.free or box.container in alive or box.id in kept

    steps = await controller.start(lives)
    for warning in controller.warnings:
        log.warning(warning)
    controller.warners.append(log.warning)
    log.info("host is as it should be", steps=len(steps), runtime=oci.name)


async def _serve_metrics(
    stack: AsyncExitStack, running: Running, tally: Tally, dataplane: Dataplane
) -> None:
    # The library is not small, and most daemons are asked for no metrics.
    from fairlead.cli import metrics

    daemon = metrics.Daemon(running.controller, running.engine, tally, running.api.traffic)
    where = running.config.metrics_addr
    server = await metrics.serve(metrics.Metrics(daemon, dataplane), where)
    stack.push_async_callback(server.close, 1.0)
    log.info("metrics", url=f"http://{where}/metrics")


def engine_id(store: Store) -> str:
    """Who this engine is: drawn once, kept in the store."""
    kept = store.load("fact").get("engine")
    if kept is None:
        raw = secrets.token_hex(16)
        kept = "-".join([raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]]).encode()
        store.put("fact", "engine", kept)
    return kept.decode()


def _hold_pidfile(stack: AsyncExitStack, path: Path) -> None:
    """One daemon for one pid file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if (holder := hold(stack, path)) is not None:
        raise Conflict(
            f"another daemon (pid {holder}) holds {path}",
            hint="stop it, or give this one --pidfile, --data-root, --exec-root and --host",
        )
    stack.callback(path.unlink, missing_ok=True)
