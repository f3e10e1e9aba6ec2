"""Images as values: what one is, who uses it, and how it is told to people. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fairlead.model.errors import Invalid
from fairlead.runtime.reference import parse

NO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Image:
    """An image on this host."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: str
    size_bytes: int
    config: Mapping[str, Any]
    """The configuration's own ``config`` object, in its own spelling."""
    architecture: str
    os: str
    variant: str = ""
    author: str = ""
    comment: str = ""
    layers: tuple[str, ...] = ()
    layer_sizes: tuple[int, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    tagged_at: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A container that was made from an image."""

    container: str
    running: bool
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that a removal took away."""

    untagged: str = ""
    deleted: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """Docker's image filters."""

    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def apply(
        self, images: Sequence[Image], find: Callable[[str], Image], now: datetime
    ) -> list[Image]:
        """The images that pass every filter, the newest first."""
        known = {"dangling", "reference", "label", "label!", "before", "since", "until"}
        for name in self.wanted:
            if name not in known:
                raise Invalid(f"invalid filter '{name}'")
        kept = [image for image in images if self._passes(image, find, now)]
        return sorted(kept, key=lambda image: (moment(image.created), image.id), reverse=True)

    def _passes(self, image: Image, find: Callable[[str], Image], now: datetime) -> bool:
        created = moment(image.created)
        get = self.wanted.get
        return (
            all(truth(value) is not bool(image.tags) for value in get("dangling", ()))
            and (not get("reference") or any(_matches(image, p) for p in get("reference", ())))
            and all(_labelled(image, label) for label in get("label", ()))
            and not any(_labelled(image, label) for label in get("label!", ()))
            and all(created < moment(find(name).created) for name in get("before", ()))
            and all(created > moment(find(name).created) for name in get("since", ()))
            and all(created <= _until(value, now) for value in get("until", ()))
        )


def truth(value: str) -> bool:
    """A yes or no as Docker's filters spell it."""
    if value.lower() in ("1", "true", "t"):
        return True
    if value.lower() in ("0", "false", "f"):
        return False
    raise Invalid(f"invalid filter 'dangling={value}'")


def moment(text: str) -> datetime:
    """A time as image configurations write it, with up to nine digits of a second."""
    whole, _, fraction = (text or NO_TIME).rstrip("Z").partition(".")
    digits = "".join(c for c in fraction[:6] if c.isdigit()).ljust(6, "0")
    try:
        base = datetime.fromisoformat(whole)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    zone = base if base.tzinfo else base.replace(tzinfo=UTC)
    return zone.replace(microsecond=int(digits))


def _until(value: str, now: datetime) -> datetime:
    units = {"s": 1, "m": 60, "h": 3600}
    if value.isdecimal():
        return datetime.fromtimestamp(int(value), UTC)
    if value[-1:] in units and value[:-1].isdecimal():
        return now - timedelta(seconds=int(value[:-1]) * units[value[-1]])
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise Invalid(f"invalid filter 'until={value}'") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _matches(image: Image, pattern: str) -> bool:
    names = [*image.tags, *(parse(tag).familiar_name for tag in image.tags)]
    return any(
        fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
        for name in names
    )


def _labelled(image: Image, label: str) -> bool:
    labels = image.config.get("Labels") or {}
    name, sign, value = label.partition("=")
    return name in labels and (not sign or labels[name] == value)


EMPTY_CONFIG: Mapping[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
"""What an image says of containers that says nothing of them."""


def inspection(image: Image) -> dict[str, Any]:
    """What ``docker image inspect`` shows."""
    made = {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Parent": image.parent,
        "Comment": image.comment,
        "Created": image.created,
        "DockerVersion": "",
        "Author": image.author,
        "Config": {**EMPTY_CONFIG, **image.config},
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Data": None, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": image.tagged_at or NO_TIME},
    }
    return made | ({"Variant": image.variant} if image.variant else {})


def history(image: Image) -> list[dict[str, Any]]:
    """What ``docker history`` shows, the newest step first."""
    sizes = iter(image.layer_sizes)
    made = [_step(step, sizes) for step in image.history or ({},) * len(image.layers)]
    made.reverse()
    if made:
        made[0] |= {"Id": image.id, "Tags": list(image.tags) or None}
    return made


def _step(step: Mapping[str, Any], sizes: Iterator[int]) -> dict[str, Any]:
    created = step.get("created")
    return {
        "Id": "<missing>",
        "Created": int(moment(created).timestamp()) if created else 0,
        "CreatedBy": step.get("created_by", ""),
        "Tags": None,
        "Size": 0 if step.get("empty_layer") else next(sizes, 0),
        "Comment": step.get("comment", ""),
    }
