"""SIGHUP: read the configuration again, and take over what can change while we run.

What dockerd takes over we take over (debug, labels, insecure-registries,
shutdown-timeout), and besides what is asked for anew each time: the log, the
pools and options of networks to come. All else waits for a restart and is
named. A file that is wrong changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fairlead.api.api import Api
from fairlead.cli import journal
from fairlead.cli.config import Config
from fairlead.cli.service import Manager
from fairlead.cli.wiring import api_settings
from fairlead.controller.controller import Controller
from fairlead.engine.engine import Engine
from fairlead.engine.log import structlog
from fairlead.model.errors import FairleadError

log = structlog.get_logger()

LIVE = frozenset(
    {
        "debug",
        "default_address_pools",
        "default_network_opts",
        "insecure_registries",
        "labels",
        "log_format",
        "log_level",
        "shutdown_timeout",
    }
)
"""The settings that are taken over."""


@dataclass(slots=True)
class Running:
    """A daemon that runs, with the configuration that it has now."""

    config: Config
    load: Callable[[], Config]
    """Reads the same file and flags as at the start."""
    identity: str
    name: str
    controller: Controller
    engine: Engine
    api: Api
    manager: Manager

    def reload(self) -> None:
        """Take over what the file says now, or say why not."""
        self.manager.reloading()
        try:
            self._take_over(self.load())
        except FairleadError as error:
            # An answer to whoever sent the signal: a traceback would say less.
            fields = {"reason": error.message, "hint": error.hint}
            log.error("configuration not reloaded", **fields)  # noqa: TRY400
        finally:
            self.manager.ready()

    def _take_over(self, wanted: Config) -> None:
        old = self.config
        changed = [
            f.name for f in fields(Config) if getattr(old, f.name) != getattr(wanted, f.name)
        ]
        live = {name: getattr(wanted, name) for name in changed if name in LIVE}
        now = replace(old, **live)
        # Made first, because making it may refuse.
        shown = api_settings(now, self.identity)
        journal.open_log("debug" if now.debug else now.log_level, now.log_format)
        self.api.settings = shown
        self.engine.images.insecure = now.insecure_registries
        self.controller.settings = replace(
            self.controller.settings,
            bases=now.default_address_pools,
            network_defaults=now.default_network_opts,
        )
        self.config = now
        self.engine.events.emit("daemon", "reload", self.identity, self._attributes())
        later = [name.replace("_", "-") for name in changed if name not in LIVE]
        if later:
            log.warning("these settings change with the next start", keys=",".join(later))
        log.info("configuration reloaded", changed=",".join(sorted(live)).replace("_", "-"))

    def _attributes(self) -> Mapping[str, str]:
        """What dockerd says of its settings, in its words."""
        now = self.config
        said: dict[str, Any] = {
            "allow-nondistributable-artifacts": [],
            "debug": now.debug,
            "default-runtime": self.engine.oci.name,
            "features": "map[]",
            "insecure-registries": list(now.insecure_registries),
            "labels": list(now.labels),
            "live-restore": True,
            "max-concurrent-downloads": 3,
            "max-concurrent-uploads": 5,
            "max-download-attempts": 5,
            "name": self.name,
            "registry-mirrors": [],
            "runtimes": f"{self.engine.oci.name}:{self.engine.oci.name}",
            "shutdown-timeout": now.shutdown_timeout,
        }
        return {
            key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            for key, value in said.items()
        }
