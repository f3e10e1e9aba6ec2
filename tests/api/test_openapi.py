"""The OpenAPI document for users says what is served."""

from __future__ import annotations

import json

from fairlead.api.api import router
from fairlead.api.router import PageNotFound, WrongMethod
from tests.api.openapi import PAGE, routes, text


def test_the_document_is_current() -> None:
    """docs/api/openapi.json is what the code says (python -m tests.api.openapi rewrites it)."""
    assert text() == PAGE.read_text()


def test_every_path_is_served() -> None:
    """What the document names the router finds; what is served the document names."""
    paths = json.loads(PAGE.read_text())["paths"]
    named = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert named == {(route.method, route.pattern) for route in routes()}
    table = router()
    for method, path in named:
        try:
            assert table.match(method, path.replace("{", "").replace("}", "")).pattern == path
        except (PageNotFound, WrongMethod) as error:
            raise AssertionError(f"{method} {path} is not served") from error
