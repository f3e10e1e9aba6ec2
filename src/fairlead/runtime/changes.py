"""``--change``: a few Dockerfile instructions applied to a configuration. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fairlead.model.errors import Invalid

Config = dict[str, Any]


def apply(config: Config, changes: Sequence[str]) -> Config:
    """The configuration after each instruction in turn."""
    for change in changes:
        verb, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(verb.upper())
        if instruction is None:
            raise Invalid(f"{verb.lower()} is not a valid change command")
        config = instruction(config, rest.strip())
    return config


def _command(field: str) -> Callable[[Config, str], Config]:
    def instruction(config: Config, text: str) -> Config:
        words = _json_words(text)
        return config | {field: ["/bin/sh", "-c", text] if words is None else words}

    return instruction


def _word(field: str) -> Callable[[Config, str], Config]:
    def instruction(config: Config, text: str) -> Config:
        if not text:
            raise Invalid(f"{field.upper()} requires exactly one argument")
        return config | {field: text}

    return instruction


def _env(config: Config, text: str) -> Config:
    fresh = _pairs(text, "ENV")
    kept = [item for item in config.get("Env") or () if item.partition("=")[0] not in fresh]
    return config | {"Env": [*kept, *(f"{name}={value}" for name, value in fresh.items())]}


def _label(config: Config, text: str) -> Config:
    return config | {"Labels": {**(config.get("Labels") or {}), **_pairs(text, "LABEL")}}


def _expose(config: Config, text: str) -> Config:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        port, _, protocol = word.partition("/")
        if not port.replace("-", "", 1).isdecimal():
            raise Invalid(f"invalid containerPort: {port}")
        ports[f"{port}/{protocol.lower() or 'tcp'}"] = {}
    return config | {"ExposedPorts": ports}


def _volume(config: Config, text: str) -> Config:
    words = _json_words(text) or text.split()
    if not words:
        raise Invalid("VOLUME requires at least one argument")
    return config | {"Volumes": {**(config.get("Volumes") or {}), **{word: {} for word in words}}}


def _onbuild(config: Config, text: str) -> Config:
    return config | {"OnBuild": [*(config.get("OnBuild") or ()), text]}


def _healthcheck(config: Config, text: str) -> Config:
    if text.upper() == "NONE":
        return config | {"Healthcheck": {"Test": ["NONE"]}}
    kind, _, rest = text.partition(" ")
    if kind.upper() != "CMD":
        raise Invalid(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    words = _json_words(rest)
    test = ["CMD-SHELL", rest] if words is None else ["CMD", *words]
    return config | {"Healthcheck": {"Test": test}}


_INSTRUCTIONS: dict[str, Callable[[Config, str], Config]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _word("StopSignal"),
    "USER": _word("User"),
    "VOLUME": _volume,
    "WORKDIR": _word("WorkingDir"),
}


def _json_words(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        return None  # As Docker: what is no list of strings is a shell command.


def _pairs(text: str, verb: str) -> dict[str, str]:
    name, _, value = text.partition(" ")
    if "=" not in name:
        if not value.strip():
            raise Invalid(f"{verb} must have two arguments")
        return {name: value.strip()}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Invalid(f"{verb}: {error}") from error
    if any("=" not in word for word in words):
        raise Invalid(f"Syntax error - can't find = in {text!r}. Must be of the form: name=value")
    return {name: value for name, _, value in (word.partition("=") for word in words)}
