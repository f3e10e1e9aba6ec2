"""The daemon's log: one line per thing that happened, on stderr, as text or JSON.

A line says what happened, to which network or container, and why; `ms` is how
long it took. No line carries what a request's body says: environments and
credentials are there.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from fairlead.api.api import GONE
from fairlead.cli.readers import LEVELS
from fairlead.controller.measured import Done, Repaired
from fairlead.engine.log import structlog

if TYPE_CHECKING:
    from fairlead.api.served import Served
    from fairlead.engine.events import Event

log = structlog.get_logger()
FIRST = ["timestamp", "level", "event"]
QUIET = frozenset({"exec_create", "exec_start", "exec_die", "top", "attach", "resize"})
"""What is done to containers all the time, by health checks for one."""


def open_log(level: str, shape: str) -> None:
    """Write lines of a level and above, in a shape; may be called again at any time."""
    last: structlog.typing.Processor = structlog.processors.LogfmtRenderer(
        key_order=FIRST, bool_as_flag=False
    )
    if shape == "json":
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[LEVELS[level].upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def change(found: Done | Repaired) -> None:
    """A change of networks that was made or refused, or a repair."""
    if isinstance(found, Repaired):
        tell = log.info if found.steps else log.debug
        tell("host compared", steps=len(found.steps), ms=_ms(found.seconds))
        for step in found.steps[:20]:
            log.debug("repaired", step=step.verb, what=" ".join(step.resource.key))
        return
    fields = {
        "networks": ",".join(found.networks),
        "container": found.container[:12],
        "name": found.name,
        "addresses": ",".join(found.addresses),
        "reason": found.error,
    }
    tell = log.warning if found.error else log.info
    said = {key: value for key, value in fields.items() if value}
    tell(found.kind + (" failed" if found.error else ""), **said, ms=_ms(found.seconds))


def request(served: Served) -> None:
    """A request that was answered; a refusal with what it said."""
    fields = {
        "method": served.method,
        "path": served.path,
        "status": served.status,
        "ms": _ms(served.seconds),
    }
    if served.status == GONE:
        log.debug("client left", **fields)
    elif served.status >= 500:
        log.error("request failed", **fields, reason=served.reason)
    elif served.status >= 400:
        # Clients ask for what may not be there all day long: `run` looks for its image.
        tell = log.debug if (served.method, served.status) == ("GET", 404) else log.info
        tell("request refused", **fields, reason=served.reason)
    else:
        log.debug("request", **fields)


def event(found: Event) -> None:
    """Something that happened to a container, image or volume; networks tell themselves."""
    if found.type == "network":
        return
    action = found.action.partition(":")[0]
    told = {k: found.attributes[k] for k in ("name", "image", "exitCode") if k in found.attributes}
    tell = log.debug if action in QUIET else log.info
    tell(f"{found.type} {action}", id=found.id.removeprefix("sha256:")[:12], **told)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
