"""Routes are found by method and path, the closest pattern first."""

from __future__ import annotations

import pytest

from fairlead.api.api import router
from fairlead.api.router import PageNotFound, Route, Router, WrongMethod

TABLE = Router(
    [
        Route("GET", "/images/{name}/json", "inspect"),
        Route("GET", "/images/json", "list"),
        Route("GET", "/images/{name}/get", "save"),
        Route("DELETE", "/images/{name}", "remove"),
        Route("POST", "/networks/prune", "prune"),
        Route("DELETE", "/networks/{id}", "delete"),
        Route("GET", "/networks", "networks"),
        Route("DELETE", "/containers/{id}/checkpoints/{name}", "checkpoint"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "handler", "parameters"),
    [
        ("GET", "/images/json", "list", {}),
        ("GET", "/images/busybox/json", "inspect", {"name": "busybox"}),
        ("GET", "/images/host:5000/a/b:v1/json", "inspect", {"name": "host:5000/a/b:v1"}),
        ("GET", "/images/json/json", "inspect", {"name": "json"}),
        ("DELETE", "/images/a/b", "remove", {"name": "a/b"}),
        ("DELETE", "/networks/a b", "delete", {"id": "a b"}),
        ("DELETE", "/networks/prune", "delete", {"id": "prune"}),
        ("GET", "/networks/", "networks", {}),
        ("DELETE", "/containers/c/checkpoints/x", "checkpoint", {"id": "c", "name": "x"}),
    ],
)
def test_a_path_finds_its_handler(
    method: str, path: str, handler: str, parameters: dict[str, str]
) -> None:
    """Names may hold slashes, and a fixed word beats a name."""
    found = TABLE.match(method, path)
    assert (found.handler, found.parameters) == (handler, parameters)


def test_the_wrong_method_is_told_apart_from_no_page() -> None:
    """405 says which methods there are; 404 that there is nothing."""
    with pytest.raises(WrongMethod) as wrong:
        TABLE.match("GET", "/networks/prune")
    assert wrong.value.allowed == ("POST", "DELETE")
    for path in ("/nothing", "/images//json", "/", "", "/networksx"):
        with pytest.raises(PageNotFound):
            TABLE.match("GET", path)


def test_the_table_has_every_route_once() -> None:
    """No two nouns claim one method and pattern."""
    table = router()
    seen = [
        (route.method, route.pattern) for routes in table._by_first.values() for route in routes
    ]
    assert len(seen) == len(set(seen))
    assert ("POST", "/containers/{id}/attach") in seen


def test_a_path_of_a_thousand_slashes_is_answered() -> None:
    """Silly paths cost little and find nothing."""
    with pytest.raises(PageNotFound):
        router().match("GET", "/images/" + "/" * 10_000)
