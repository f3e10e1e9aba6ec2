"""Which containers a list shows. Values of one key are alternatives, keys must all fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from fairlead.engine import ports
from fairlead.engine.record import Container
from fairlead.model import pattern
from fairlead.model.errors import Invalid

Filters = Mapping[str, Sequence[str]]

STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTHS = ("none", "starting", "healthy", "unhealthy")
KNOWN = (
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "isolation", "label",
    "name", "network", "publish", "since", "status", "volume",
)  # fmt: skip

Find = Callable[[str], Container]


class Lookup:
    """What filters ask the engine about."""

    def __init__(
        self,
        find: Find,
        image_id: Callable[[str], str | None],
        networks: Callable[[Container], Sequence[str]],
        published: Callable[[Container], Sequence[str]],
    ) -> None:
        self.find = find
        self.image_id = image_id
        """The id of an image named in whatever way, None when there is none."""
        self.networks = networks
        """Names and ids of the networks a container is configured for."""
        self.published = published
        """Host ports, ``8080/tcp``."""


def check(filters: Filters) -> None:
    """Refuse keys and values that mean nothing. Raises Invalid."""
    for key in filters:
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}'", hint=f"known are: {', '.join(KNOWN)}")
    for key, allowed in (("status", STATUSES), ("health", HEALTHS)):
        for value in filters.get(key, ()):
            if value not in allowed:
                raise Invalid(f"invalid filter '{key}={value}'")
    for value in filters.get("exited", ()):
        if not re.fullmatch("-?[0-9]+", value):
            raise Invalid(f"invalid filter 'exited={value}'")
    for value in filters.get("is-task", ()):
        if value not in ("true", "false", "1", "0"):
            raise Invalid(f"invalid filter 'is-task={value}'")
    for key in ("publish", "expose"):
        ports.expand(filters.get(key, ()))


def chosen(containers: Sequence[Container], filters: Filters, look: Lookup) -> list[Container]:
    """The containers that fit, in their order. Raises Invalid or NotFound."""
    check(filters)
    fits = [_TESTS[key](values, look) for key, values in filters.items() if values]
    return [c for c in containers if all(fit(c) for fit in fits)]


Test = Callable[[Container], bool]


def _id(values: Sequence[str], look: Lookup) -> Test:
    return lambda c: any(c.id.startswith(v) for v in values)


def _name(values: Sequence[str], look: Lookup) -> Test:
    return lambda c: any(_search(v, c.name) for v in values)


def _search(expression: str, name: str) -> bool:
    try:
        # Names are matched with and without their slash.
        return pattern.found(expression, name) or pattern.found(expression, f"/{name}")
    except pattern.BadPattern:
        return expression == name


def _label(values: Sequence[str], look: Lookup) -> Test:
    return lambda c: all(_labelled(c.record.config.labels, v) for v in values)


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _status(values: Sequence[str], look: Lookup) -> Test:
    return lambda c: c.status in values


def _exited(values: Sequence[str], look: Lookup) -> Test:
    codes = {int(v) for v in values}
    return lambda c: c.status == "exited" and c.record.state.exit_code in codes


def _ancestor(values: Sequence[str], look: Lookup) -> Test:
    images = {look.image_id(v) for v in values} - {None}
    return lambda c: c.record.image in images or c.record.image_ref in values


def _before(values: Sequence[str], look: Lookup) -> Test:
    created = min(look.find(v).record.created for v in values)
    return lambda c: c.record.created < created


def _since(values: Sequence[str], look: Lookup) -> Test:
    created = max(look.find(v).record.created for v in values)
    return lambda c: c.record.created > created


def _network(values: Sequence[str], look: Lookup) -> Test:
    def fits(container: Container) -> bool:
        names = look.networks(container)
        return any(v == n or (len(n) == 64 and n.startswith(v)) for v in values for n in names)

    return fits


def _volume(values: Sequence[str], look: Lookup) -> Test:
    def fits(container: Container) -> bool:
        return any(v in (m.name, m.destination) for m in container.record.mounts for v in values)

    return fits


def _publish(values: Sequence[str], look: Lookup) -> Test:
    wanted = set(ports.expand(values))
    return lambda c: bool(wanted.intersection(look.published(c)))


def _expose(values: Sequence[str], look: Lookup) -> Test:
    wanted = set(ports.expand(values))
    return lambda c: bool(wanted.intersection(ports.exposed(c.record.config.ports)))


def _health(values: Sequence[str], look: Lookup) -> Test:
    def fits(container: Container) -> bool:
        health = container.record.state.health
        return (health.status if health else "none") in values

    return fits


def _is_task(values: Sequence[str], look: Lookup) -> Test:
    # Tasks are swarm's.
    return lambda c: "false" in values or "0" in values


def _isolation(values: Sequence[str], look: Lookup) -> Test:
    return lambda c: c.record.host.isolation in values


_TESTS: Mapping[str, Callable[[Sequence[str], Lookup], Test]] = {
    "id": _id,
    "name": _name,
    "label": _label,
    "status": _status,
    "exited": _exited,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "network": _network,
    "volume": _volume,
    "publish": _publish,
    "expose": _expose,
    "health": _health,
    "is-task": _is_task,
    "isolation": _isolation,
}
