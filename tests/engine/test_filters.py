"""Which containers a list shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fairlead.engine import filters
from fairlead.engine.filters import Filters, Lookup
from fairlead.engine.record import Container, MountPoint, State
from fairlead.model.errors import Invalid, NotFound
from tests.engine.build import NOON, container

OLD = container(
    "aa", "web", state=State(status="running"), labels={"tier": "front"}, ports={"80/tcp": {}}
)
MID = container(
    "ab",
    "web-2",
    at=NOON + timedelta(minutes=1),
    state=State(status="exited", exit_code=3),
    image="sha256:2",
    mounts=(MountPoint(type="volume", name="data", destination="/d"),),
)
NEW = container(
    "b0", "db", at=NOON + timedelta(minutes=2), labels={"tier": "back"}, NetworkMode="none"
)
ALL = [NEW, MID, OLD]


def find(ref: str) -> Container:
    for found in ALL:
        if ref in (found.name, found.id):
            return found
    raise NotFound(f"No such container: {ref}")


LOOK = Lookup(
    find,
    image_id={"busybox": "sha256:2"}.get,
    networks=lambda c: ["n1", "f" * 64] if c is OLD else [c.record.host.network_mode],
    published=lambda c: ["8080/tcp"] if c is OLD else [],
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ALL),
        ({"id": ["a"]}, [MID, OLD]),
        ({"name": ["web"]}, [MID, OLD]),
        ({"name": ["^/web$"]}, [OLD]),
        ({"name": ["["]}, []),
        ({"label": ["tier"]}, [NEW, OLD]),
        ({"label": ["tier=back"]}, [NEW]),
        ({"label": ["tier", "tier=back"]}, [NEW]),
        ({"status": ["running", "created"]}, [NEW, OLD]),
        ({"exited": ["3"]}, [MID]),
        ({"before": ["web-2"]}, [OLD]),
        ({"since": ["web-2"]}, [NEW]),
        ({"network": ["n1"]}, [OLD]),
        ({"network": ["ffff"]}, [OLD]),
        ({"network": ["none"]}, [NEW]),
        ({"volume": ["data"]}, [MID]),
        ({"volume": ["/d"]}, [MID]),
        ({"publish": ["8080"]}, [OLD]),
        ({"expose": ["80-90/tcp"]}, [OLD]),
        ({"health": ["none"]}, ALL),
        ({"is-task": ["true"]}, []),
        ({"name": ["web"], "status": ["exited"]}, [MID]),
    ],
)
def test_filters(given: Filters, expected: list[Container]) -> None:
    """Values of a key are alternatives, keys must all fit."""
    assert filters.chosen(ALL, given, LOOK) == expected


def test_ancestor_goes_by_the_image_behind_the_name() -> None:
    """A container counts whatever name its image had when it was made."""
    assert MID in filters.chosen(ALL, {"ancestor": ["busybox"]}, LOOK)
    assert filters.chosen(ALL, {"ancestor": ["unheard-of"]}, LOOK) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"foo": ["x"]}, "invalid filter 'foo'"),
        ({"status": ["asleep"]}, "invalid filter 'status=asleep'"),
        ({"exited": ["x"]}, "invalid filter 'exited=x'"),
        ({"publish": ["x"]}, 'invalid port specification: "x"'),
    ],
)
def test_refused(given: Filters, message: str) -> None:
    """A typing mistake never shows everything."""
    with pytest.raises(Invalid) as caught:
        filters.chosen(ALL, given, LOOK)

    assert caught.value.message == message


def test_an_unknown_container_in_a_filter_is_an_error() -> None:
    """`before` something that is not there has no answer."""
    with pytest.raises(NotFound):
        filters.chosen(ALL, {"before": ["nobody"]}, LOOK)
