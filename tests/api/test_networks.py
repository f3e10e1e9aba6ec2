"""Networks are found, listed and pruned as Docker does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.house import House


@pytest.fixture
def lan(house: House) -> Iterator[House]:
    """The daemon without networks of others, before and after."""
    yield house
    house.ask("POST", "/networks/prune")
    assert len(house.ask("GET", "/networks").json) == 3


def create(lan: House, name: str, **body: Any) -> str:
    """Makes a network and returns its id."""
    made = lan.ask("POST", "/networks/create", {"Name": name, **body})
    assert made.status == 201, made.message
    return str(made.json["Id"])


def names(lan: House, **filters: list[str]) -> set[str]:
    """The names that a list with these filters has."""
    answer = lan.ask("GET", "/networks", filters=json.dumps(filters))
    assert answer.status == 200, answer.message
    return {network["Name"] for network in answer.json}


def test_a_network_is_found_by_id_name_or_beginning(lan: House) -> None:
    """The full id first, then the name, then a beginning that is only one's; case counts."""
    web = create(lan, "web")
    for ref in (web, "web", web[:12], web[:40]):
        assert lan.ask("GET", f"/networks/{ref}").json["Id"] == web
    short = create(lan, web[:12])
    assert lan.ask("GET", f"/networks/{web[:12]}").json["Id"] == short, "a name before a beginning"
    masked = create(lan, web)
    assert lan.ask("GET", f"/networks/{web}").json["Id"] == web
    assert lan.ask("DELETE", f"/networks/{web}").status == 204
    assert lan.ask("GET", f"/networks/{web}").json["Id"] == masked
    assert lan.ask("GET", "/networks/WEB").status == 404


def test_a_beginning_of_several_is_refused(lan: House) -> None:
    """It says how many there are."""
    ids = [create(lan, f"n{number}") for number in range(17)]
    first = next(c for c in "0123456789abcdef" if sum(i.startswith(c) for i in ids) > 1)
    everyone = [n["Id"] for n in lan.ask("GET", "/networks").json]
    count = sum(i.startswith(first) for i in everyone)
    answer = lan.ask("GET", f"/networks/{first}")
    said = f"network {first} is ambiguous ({count} matches found based on ID prefix)"
    assert (answer.status, answer.message) == (400, said)


def test_a_slash_at_the_end(lan: House) -> None:
    """`/networks/` is the list, too."""
    assert lan.ask("GET", "/networks/").json == lan.ask("GET", "/networks").json


def test_filters_of_a_list(lan: House) -> None:
    """Values of one key are alternatives, keys must all fit; an unknown scope fits nothing."""
    web = create(lan, "web", Labels={"tier": "front", "x": ""})
    create(lan, "webber", Labels={"tier": "back"})
    assert names(lan, name=["web"]) == {"web", "webber"}
    assert names(lan, name=["^web$"]) == {"web"}
    assert names(lan, id=[web[:12]]) == {"web"}
    assert names(lan, id=[web[20:40]]) == {"web"}
    assert names(lan, label=["tier"]) == {"web", "webber"}
    assert names(lan, label=["tier=front"], driver=["bridge"]) == {"web"}
    assert names(lan, driver=["host", "null"]) == {"host", "none"}
    assert names(lan, type=["custom"]) == {"web", "webber"}
    assert names(lan, type=["custom", "builtin"]) >= {"web", "bridge"}
    assert names(lan, scope=["local"], type=["builtin"]) == {"bridge", "host", "none"}
    assert names(lan, scope=["swarm", "global", "bogus"]) == set()
    assert names(lan, dangling=["true"]) == {"web", "webber"}
    assert names(lan, dangling=["0"]) == {"bridge", "host", "none"}


def test_prune_goes_by_label_and_age(lan: House) -> None:
    """`until` in every form of a time, `label` and `label!`; what stays is not named."""
    for name in ("keep", "old", "new"):
        create(lan, name, Labels={name: "1"})

    def prune(**filters: list[str]) -> Any:
        answer = lan.ask("POST", "/networks/prune", filters=json.dumps(filters))
        return answer.json["NetworksDeleted"]

    assert prune(until=["1h"]) is None
    assert prune(until=["2020-01-01T00:00:00"], label=["old"]) is None
    assert prune(label=["old=1"]) == ["old"]
    assert prune(**{"label!": ["keep"]}) == ["new"]
    assert names(lan, type=["custom"]) == {"keep"}
    assert prune(until=["0s"]) == ["keep"]


def test_labels_are_texts(lan: House) -> None:
    """Anything else is refused, as is a list."""
    for labels in (["a"], {"a": 1}):
        answer = lan.ask("POST", "/networks/create", {"Name": "x", "Labels": labels})
        assert answer.status == 400


def test_options_of_announcements(lan: House) -> None:
    """Docker 28's count and pace of announcements: shown as they were said, and checked."""
    options = {
        "com.docker.network.advertise_addr_nmsgs": "0",
        "com.docker.network.advertise_addr_ms": "200",
    }
    made = lan.ask("POST", "/networks/create", {"Name": "quiet", "Options": options})
    assert made.status == 201
    assert lan.ask("GET", "/networks/quiet").json["Options"] == options
    wrong = {"com.docker.network.advertise_addr_nmsgs": "4"}
    refused = lan.ask("POST", "/networks/create", {"Name": "loud", "Options": wrong})
    words = "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3"
    assert (refused.status, refused.message) == (500, words)


def test_inspect_may_be_verbose(lan: House) -> None:
    """`verbose` adds what only a swarm has; `scope` must be the network's."""
    create(lan, "web")
    assert lan.ask("GET", "/networks/web", verbose="true").status == 200
    assert lan.ask("GET", "/networks/web", scope="local").status == 200
    wrong = lan.ask("GET", "/networks/web", scope="swarm")
    assert (wrong.status, wrong.message) == (404, "network web not found")
