"""Keys come and go with the version of the API that a client speaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.house import Answer, House

OLDEST, NEWEST = 24, 52


@pytest.mark.parametrize(
    ("path", "key", "first", "last"),
    [
        ("/networks/bridge", "EnableIPv4", 48, NEWEST),
        ("/networks/bridge", "Status", 52, NEWEST),
        ("/networks/bridge", "Containers", OLDEST, NEWEST),
        ("/networks", "Containers", OLDEST, 51),
        ("/info", "FirewallBackend", 49, NEWEST),
        ("/info", "BridgeNfIptables", OLDEST, 49),
        ("/info", "BridgeNfIp6tables", OLDEST, 49),
        ("/system/df", "ImageUsage", 52, NEWEST),
        ("/system/df", "ContainerUsage", 52, NEWEST),
        ("/system/df", "VolumeUsage", 52, NEWEST),
        ("/system/df", "BuildCacheUsage", 52, NEWEST),
        ("/system/df", "LayersSize", OLDEST, 52),
    ],
)
def test_a_key_is_there_from_one_version_to_another(
    house: House, path: str, key: str, first: int, last: int
) -> None:
    """And at no other."""
    for minor in {OLDEST, first - 1, first, last, min(last + 1, NEWEST)} - {OLDEST - 1}:
        found = house.ask("GET", f"/v1.{minor}{path}").json
        document: dict[str, Any] = found[0] if isinstance(found, list) else found
        assert (key in document) is (first <= minor <= last), f"API 1.{minor}"


def test_disk_usage_in_full_has_every_thing(house: House) -> None:
    """`verbose=1` lists things beside their sum, and none of the old keys."""
    found = house.ask("GET", "/v1.52/system/df", verbose="1").json
    assert set(found) == {"ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"}
    none = {"ActiveCount": 0, "TotalCount": 0, "TotalSize": 0, "Reclaimable": 0, "Items": []}
    assert found["ContainerUsage"] == none


def told(house: House, minor: int, accept: str = "") -> Answer:
    """All events so far."""
    headers = {"Accept": accept} if accept else {}
    return house.ask("GET", f"/v1.{minor}/events", headers=headers, since="1", until="0s")


def test_events_are_framed_as_one_asks(house: House) -> None:
    """One JSON object a line; since 1.52 also as RFC 7464 has it."""
    assert house.ask("POST", "/networks/create", {"Name": "told"}).status == 201
    assert house.ask("DELETE", "/networks/told").status == 204
    plain = [json.loads(line) for line in told(house, 52).body.splitlines()]
    assert [e["Action"] for e in plain if e["Type"] == "network"][-2:] == ["create", "destroy"]
    for kind, start in (("application/json-seq", b"\x1e{"), ("application/x-ndjson", b"{")):
        framed = told(house, 52, kind)
        assert framed.headers["content-type"] == kind
        assert all(line.startswith(start) for line in framed.body.splitlines())
    assert told(house, 51, "application/json-seq").headers["content-type"] == "application/json"


def test_events_have_their_old_keys_for_old_clients(house: House) -> None:
    """`status` and `id` beside the actor, until 1.51."""
    house.engine.events.emit("image", "tag", "sha256:1", {"name": "one"})
    old, new = (json.loads(told(house, minor).body.splitlines()[-1]) for minor in (51, 52))
    assert (old["status"], old["id"]) == ("tag", "sha256:1")
    assert new == {key: old[key] for key in old if key not in ("status", "id")}
