"""The OpenAPI document of what is served, made from the code: `python -m tests.api.openapi`.

Paths come from the router, queries from what the handlers ask for, bodies from the structs that
they are read into. What Docker serves and fairlead refuses with a sentence is left out.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import fairlead
from fairlead.api import unsupported
from fairlead.api.api import NOUNS
from fairlead.api.exec import Start
from fairlead.api.network_json import Connect, Disconnect, NetworkCreate
from fairlead.api.router import Route
from fairlead.api.trace import Trace
from fairlead.api.transfer import Credentials
from fairlead.api.versions import NEWEST
from fairlead.api.volumes import VolumeCreate
from fairlead.engine.documents import Config, ExecConfig, HostConfig, NetworkingConfig

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "api" / "openapi.json"

Json = dict[str, Any]

BODIES: dict[str, type] = {
    "POST /networks/create": NetworkCreate,
    "POST /networks/{id}/connect": Connect,
    "POST /networks/{id}/disconnect": Disconnect,
    "POST /volumes/create": VolumeCreate,
    "POST /containers/{id}/update": HostConfig,
    "POST /containers/{id}/exec": ExecConfig,
    "POST /exec/{id}/start": Start,
    "POST /auth": Credentials,
    "POST /fairlead/trace": Trace,
}
TARS = ("PUT /containers/{id}/archive", "POST /images/load", "POST /images/create")
# Read by what several handlers share.
SHARED = {
    "GET /events": {"since": "text", "until": "text"},
    "GET /containers/{id}/logs": {"since": "text", "until": "text"},
    "POST /exec/{id}/resize": {"h": "integer", "w": "integer"},
    "POST /networks/{id}/disconnect": {"dry_run": "flag"},
}
KINDS: dict[str, Json] = {
    "text": {"type": "string"},
    "get": {"type": "string"},
    "flag": {"type": "boolean"},
    "integer": {"type": "integer"},
    "every": {"type": "array", "items": {"type": "string"}},
    "filters": {"type": "string", "description": 'JSON: {"key":["value"]}'},
}


def routes() -> Iterator[Route[Any]]:
    """What is served, not what is refused."""
    for noun in NOUNS:
        if noun is not unsupported:
            yield from noun.routes()


def document() -> Json:
    """All of it."""
    bodies = [*BODIES.values(), Config, HostConfig, NetworkingConfig]
    kept, components = msgspec.json.schema_components(
        bodies, ref_template="#/components/schemas/{name}"
    )
    schemas = dict(zip((body.__name__ for body in bodies), kept, strict=True))
    components["ContainerCreate"] = {
        "allOf": [
            schemas["Config"],
            {
                "type": "object",
                "properties": {
                    "HostConfig": schemas["HostConfig"],
                    "NetworkingConfig": schemas["NetworkingConfig"],
                },
            },
        ]
    }
    schemas["ContainerCreate"] = {"$ref": "#/components/schemas/ContainerCreate"}
    paths: Json = {}
    for route in routes():
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fairlead",
            "version": fairlead.__version__,
            "description": f"The part of Docker's Engine API {NEWEST} that fairlead serves.",
        },
        "servers": [{"url": f"/v{NEWEST}"}, {"url": "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route[Any], schemas: Json) -> Json:
    name = f"{route.method} {route.pattern}"
    doc = inspect.getdoc(route.handler) or ""
    noun = str(route.handler.__module__).rpartition(".")[2]
    made: Json = {
        "operationId": f"{noun}-{route.handler.__name__.strip('_')}-{route.method.lower()}",
        "tags": [noun],
        "summary": doc.partition("\n")[0],
        "parameters": [*_path(route), *_query(route)],
        "responses": {
            "default": {"description": "An error: a sentence, and perhaps a hint."},
            "2XX": {"description": "Done."},
        },
    }
    body = "ContainerCreate" if name == "POST /containers/create" else None
    if name in BODIES:
        body = BODIES[name].__name__
    if body:
        made["requestBody"] = {"content": {"application/json": {"schema": schemas[body]}}}
    elif name in TARS:
        tar = {"schema": {"type": "string", "format": "binary"}}
        made["requestBody"] = {"content": {"application/x-tar": tar}}
    return made


def _path(route: Route[Any]) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", route.pattern):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(route: Route[Any]) -> Iterator[Json]:
    found = dict(sorted(_asked(route.handler.__module__, route.handler.__name__)))
    found |= SHARED.get(f"{route.method} {route.pattern}", {})
    for name, kind in sorted(found.items()):
        yield {"name": name, "in": "query", "schema": KINDS[kind]}


@cache
def _functions(module: str) -> dict[str, ast.AST]:
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _asked(module: str, function: str, seen: frozenset[str] = frozenset()) -> set[tuple[str, str]]:
    """The query parameters that a handler reads, and those it calls."""
    found: set[tuple[str, str]] = set()
    node = _functions(module).get(function)
    for call in ast.walk(node) if node else ():
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Name) and call.func.id not in seen:
            found |= _asked(module, call.func.id, seen | {function})
        if isinstance(call.func, ast.Attribute) and call.func.attr in KINDS:
            of = ast.unparse(call.func.value)
            if not of.endswith("query"):
                continue
            if call.func.attr == "filters":
                found.add(("filters", "filters"))
            elif call.args and isinstance(call.args[0], ast.Constant):
                name = str(call.args[0].value)
                found.add((name, "filters" if name == "filters" else call.func.attr))
    return found


def text() -> str:
    """The document as it is kept."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
