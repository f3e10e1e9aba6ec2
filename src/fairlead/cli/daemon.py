"""`fairlead daemon`: puts the daemon together, runs it, takes it down.

On the way up each floor is ready before the next: store, kernel, dataplane,
controller (which repairs the host), engine (which finds its containers), and
the socket last. On the way down the reverse. Containers, names and published
ports live on.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import structlog

from fairlead.api.api import Api
from fairlead.api.settings import Settings as ApiSettings
from fairlead.cli import config as configuration
from fairlead.cli.config import Config
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.start import Settings as NetworkSettings
from fairlead.controller.want import Host
from fairlead.dataplane.client import Dataplane
from fairlead.engine import sharing
from fairlead.engine.engine import Engine
from fairlead.engine.settings import Settings as EngineSettings
from fairlead.firewall.backends import firewall
from fairlead.http.server import Server
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.errors import Conflict, Failed, FairleadError
from fairlead.model.marks import Marks
from fairlead.model.sandbox import Sandbox
from fairlead.runtime.image import Images
from fairlead.runtime.oci import Oci
from fairlead.store.sqlite import Store

log = structlog.get_logger("daemon")
RETRY_SECONDS = 1.0

FLAGS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-H", "--host"), {"multiple": True, "help": "Where to listen: unix:///path, tcp://ip:port"}),
    (("-G", "--group"), {"help": "Group that may use the unix socket"}),
    (("--data-root",), {"help": "Where images, containers and the store live"}),
    (("--exec-root",), {"help": "Where namespaces and sockets live while the host is up"}),
    (("-p", "--pidfile"), {"help": "File for the daemon's process id"}),
    (
        ("-b", "--bridge"),
        {"help": "Use this bridge for the default network; none: no such network"},
    ),
    (("--default-bridge-name",), {"help": "Name of the default network's bridge (docker0)"}),
    (("--iptables-prefix",), {"help": "What the names of iptables chains begin with (DOCKER)"}),
    (("--bip",), {"help": "Address and prefix of the default bridge"}),
    (("--fixed-cidr",), {"help": "The part of the default bridge's subnet for containers"}),
    (("--default-gateway",), {"help": "Gateway of containers on the default bridge"}),
    (("--mtu",), {"type": int, "help": "MTU of the default bridge, in bytes"}),
    (("--icc",), {"type": bool, "help": "Containers on the default bridge reach each other"}),
    (("--ip",), {"help": "Host address that ports are published on"}),
    (("--ip-forward",), {"type": bool, "help": "Turn on the forwarding of packets"}),
    (("--ip-forward-no-drop",), {"type": bool, "help": "Leave FORWARD's policy alone"}),
    (("--ip-masq",), {"type": bool, "help": "Masquerade the default bridge"}),
    (("--iptables",), {"type": bool, "help": "Write firewall rules"}),
    (("--firewall-backend",), {"help": "iptables or nftables"}),
    (("--default-address-pool",), {"multiple": True, "help": "base=SUBNET,size=PREFIX"}),
    (("--dns",), {"multiple": True, "help": "Name server of containers"}),
    (("--dns-search",), {"multiple": True, "help": "Search domain of containers"}),
    (("--dns-opt",), {"multiple": True, "help": "Option of containers' resolv.conf"}),
    (("--host-gateway-ip",), {"multiple": True, "help": "What host-gateway stands for"}),
    (("--label",), {"multiple": True, "help": "Label of the daemon"}),
    (("--insecure-registry",), {"multiple": True, "help": "Registry without TLS"}),
    (("--default-runtime",), {"help": "crun or runc"}),
    (("--init",), {"type": bool, "help": "Run an init in containers"}),
    (("--shutdown-timeout",), {"type": int, "help": "Seconds for running requests to end"}),
    (("-l", "--log-level"), {"help": "debug, info, warn, error"}),
)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for names, settings in reversed(FLAGS):
        bare: dict[str, Any] = {}
        if settings.get("type") is bool:
            bare = {"is_flag": False, "flag_value": True}
        command = click.option(*names, **settings, **bare)(command)
    return command


@click.command("daemon", short_help="Run the daemon")
@_options
@click.option("--config-file", type=click.Path(path_type=Path), help="Instead of daemon.json")
@click.option("-D", "--debug", is_flag=True, help="Log everything")
def daemon(config_file: Path | None, debug: bool, **flags: Any) -> None:
    """Run the daemon: networks and containers behind the Docker Engine API."""
    given = {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
        if value not in (None, ())
    }
    try:
        settings = configuration.load(config_file, given)
        _log_to_stderr("debug" if debug else settings.log_level)
        asyncio.run(serve(settings))
    except FairleadError as error:
        hint = f" ({error.hint})" if error.hint else ""
        click.echo(f"fairlead: {error.message}{hint}", err=True)
        sys.exit(1)


def _log_to_stderr(level: str) -> None:
    number = logging.getLevelName({"warn": "warning"}.get(level, level).upper())
    if not isinstance(number, int):
        raise Failed(f"unknown log level {level!r}", hint="debug, info, warn or error")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        _hold_pidfile(stack, config.pidfile)
        server, controller = await _put_together(stack, config)
        stack.push_async_callback(server.close, config.shutdown_timeout)
        for host in config.hosts:
            await _listen(server, host, config.group)
            log.info("listening", host=host)
        await _until(stopped, controller)
        log.info("stopping; containers live on")


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


async def _put_together(stack: AsyncExitStack, config: Config) -> tuple[Server, Controller]:
    """Every floor on the one below. What was opened is closed by the stack."""
    config.data_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    config.exec_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    store = Store(config.data_root / "fairlead.db")
    stack.callback(store.close)
    identity = engine_id(store)
    marks = Marks(identity.replace("-", "")[:8], config.iptables_prefix)
    kernel = LinuxKernel(config.exec_root / "netns", marks)
    stack.callback(kernel.close)
    dataplane = Dataplane(
        config.exec_root / "dataplane" / "control.sock", config.exec_root / "dataplane.log"
    )
    stack.push_async_callback(dataplane.close)
    host = Host(
        forwarding=config.ip_forward,
        no_drop=config.ip_forward_no_drop,
        firewall=config.iptables,
    )
    walls = firewall(config.firewall_backend, marks)
    committer = Committer(store, kernel, dataplane, walls, host)
    controller = Controller(committer, network_settings(config), config.exec_root / "netns")
    stack.push_async_callback(controller.close)
    oci = Oci(config.exec_root / "oci", prefer=config.default_runtime)
    await oci.probe()
    stack.push_async_callback(oci.close)
    alive = {state.id for state in await oci.recover() if state.status != "stopped"}

    kept = sharing.lived_in(store, alive)

    def lives(box: Sandbox) -> bool:
        return box.free or box.container in alive or box.id in kept

    steps = await controller.start(lives)
    for warning in controller.warnings:
        log.warning(warning)
    controller.warners.append(log.warning)
    log.info("host is as it should be", steps=len(steps), runtime=oci.name)
    images = Images(config.data_root / "images")
    engine = Engine(
        controller, store, oci, images, config.data_root, config.exec_root, engine_settings(config)
    )
    await engine.start()
    stack.push_async_callback(engine.close)
    api = Api(engine, controller, api_settings(config, identity))
    return Server(api.handler, api.on_error), controller


def engine_id(store: Store) -> str:
    """Who this engine is: drawn once, kept in the store."""
    kept = store.load("fact").get("engine")
    if kept is None:
        raw = secrets.token_hex(16)
        kept = "-".join([raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]]).encode()
        store.put("fact", "engine", kept)
    return kept.decode()


def network_settings(config: Config) -> NetworkSettings:
    return NetworkSettings(
        bridge=config.bridge or config.default_bridge_name,
        bip=config.bip,
        mtu=config.mtu,
        icc=config.icc,
        masquerade=config.ip_masq,
        binding=config.ip,
        fixed_cidr=config.fixed_cidr,
        default_gateway=config.default_gateway,
        bases=config.default_address_pools,
    )


def engine_settings(config: Config) -> EngineSettings:
    return EngineSettings(
        dns=config.dns,
        dns_search=config.dns_search,
        dns_options=config.dns_opts,
        host_gateway=config.host_gateway_ip,
        init=config.init,
        log_max_bytes=config.log_opts,
        shm_size_bytes=config.default_shm_size,
        ulimits=config.default_ulimits,
    )


def api_settings(config: Config, identity: str) -> ApiSettings:
    return ApiSettings(
        id=identity,
        data_root=config.data_root,
        address_pools=configuration.pool_pairs(config.default_address_pools),
        firewall_backend=config.firewall_backend,
        labels=config.labels,
        insecure_registries=config.insecure_registries,
    )


def _hold_pidfile(stack: AsyncExitStack, path: Path) -> None:
    """One daemon for one pid file: held by a lock, which dies with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.open("a+")
    stack.callback(held.close)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        raise Conflict(
            f"another daemon (pid {held.read().strip()}) holds {path}",
            hint="stop it, or give this one --pidfile, --data-root, --exec-root and --host",
        ) from None
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    stack.callback(path.unlink, missing_ok=True)


async def _listen(server: Server, host: str, group: str) -> None:
    if host.startswith("unix://"):
        await server.listen_unix(Path(host.removeprefix("unix://")), 0o660, group or None)
        return
    address, _, port = host.removeprefix("tcp://").rpartition(":")
    if not port.isdigit():
        raise Failed(f"invalid host {host!r}", hint="use tcp://address:port")
    await server.listen_tcp(address.strip("[]") or "127.0.0.1", int(port))
