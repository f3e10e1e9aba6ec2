"""The flags of `run` and `create` as the body of POST /containers/create. Pure, but that it
reads the files the flags name.

The rule it keeps: only what was said is sent; what was not is the daemon's to choose.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.cli import create_network, limits, mounts, ports, values
from fairlead.cli.create_options import MAPPINGS, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Body = dict[str, Any]

NAMESPACES = (
    ("pid", "PID", ("", "host")),
    ("uts", "UTS", ("", "host")),
    ("userns", "USER", ("", "host")),
    ("cgroupns", "CGROUP", ("", "host", "private")),
)
SWAPPINESS_RANGE = range(-1, 101)


def body(image: str, words: Sequence[str], flags: Mapping[str, Any]) -> Body:
    """The request; a ValueError says in Docker's words what cannot be."""
    check(flags)
    made: Body = {"Image": image, "HostConfig": {}}
    for option in OPTIONS:
        if option.to:
            put(made, option.to, flags[option.name or ""])
    streams(made, flags)
    if words:
        made["Cmd"] = list(words)
    if flags["entrypoint"] is not None:
        made["Entrypoint"] = [flags["entrypoint"]]
    settings(made, flags)
    host = made["HostConfig"]
    publish(made, flags)
    storage(made, flags)
    host["RestartPolicy"] = restart_policy(flags["restart"])
    if flags["rm"] and host["RestartPolicy"]["Name"] != "no":
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    security(host, flags["security_opt"])
    health = healthcheck(flags)
    if health:
        made["Healthcheck"] = health
    mode, endpoints = create_network.networking(flags["network"], flags)
    host["NetworkMode"] = mode
    if endpoints:
        made["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return made


def put(made: Body, way: str, value: Any) -> None:
    """Set a value at a dotted place, unless it was not given."""
    if value is None or value == () or (value is False and not way.endswith(".Init")):
        return
    if isinstance(value, tuple):
        value = dict(value) if way in MAPPINGS else list(value)
    *steps, last = way.split(".")
    for step in steps:
        made = made.setdefault(step, {})
    made[last] = value


def check(flags: Mapping[str, Any]) -> None:
    """Refuse what Docker's client refuses without asking."""
    swappiness = flags["memory_swappiness"]
    if swappiness is not None and swappiness not in SWAPPINESS_RANGE:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    for name, shown, allowed in NAMESPACES:
        value = flags[name] or ""
        if value not in allowed and not (name == "pid" and value.startswith("container:")):
            raise ValueError(f"--{name}: invalid {shown} mode")
    if flags["log_driver"] == "none" and flags["log_opt"]:
        raise ValueError("invalid logging opts for driver none")
    if any("=" not in each for each in flags["storage_opt"]):
        raise ValueError("invalid storage option")


def streams(made: Body, flags: Mapping[str, Any]) -> None:
    """Which streams the container keeps open, and which of them are ours."""
    attach = flags["attach"] or ("stdout", "stderr")
    made["AttachStdin"] = flags["interactive"] or "stdin" in attach
    made["AttachStdout"] = "stdout" in attach
    made["AttachStderr"] = "stderr" in attach
    made["OpenStdin"] = flags["interactive"]
    made["StdinOnce"] = made["OpenStdin"] and made["AttachStdin"]


def settings(made: Body, flags: Mapping[str, Any]) -> None:
    """Environment and labels: files first, so that options win."""
    files = [line for path in flags["env_file"] for line in values.lines_of(path, inherit=True)]
    environment = [*files, *flags["env"]]
    if environment:
        made["Env"] = environment
    lines = [line for path in flags["label_file"] for line in values.lines_of(path)]
    labels = dict([*(values.pair(line) for line in lines), *flags["label"]])
    if labels:
        made["Labels"] = labels


def publish(made: Body, flags: Mapping[str, Any]) -> None:
    """Ports, published and exposed."""
    exposed, bindings = ports.published(flags["publish"])
    exposed |= ports.exposed(flags["expose"])
    if exposed:
        made["ExposedPorts"] = exposed
    if bindings:
        made["HostConfig"]["PortBindings"] = bindings


def storage(made: Body, flags: Mapping[str, Any]) -> None:
    """Volumes, tmpfs, storage options and devices."""
    binds, anonymous = mounts.volumes(flags["volume"])
    if anonymous:
        made["Volumes"] = anonymous
    host: Body = {
        "Binds": binds,
        "Tmpfs": dict(text.partition(":")[::2] for text in flags["tmpfs"]),
        "StorageOpt": dict(values.pair(text) for text in flags["storage_opt"]),
        "Devices": limits.devices(flags["device"]),
    }
    made["HostConfig"] |= {key: value for key, value in host.items() if value}


def restart_policy(text: str) -> Body:
    """no, always, unless-stopped, on-failure[:most]."""
    name, colon, count = text.partition(":")
    if not colon:
        return {"Name": name or "no"}
    if not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    if not count.lstrip("-").isdigit():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count)}


def security(host: Body, options: Iterable[str]) -> None:
    """Security options; a seccomp profile is read here and sent whole."""
    kept = []
    for option in options:
        if option == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
            continue
        key, equals, value = option.partition("=" if "=" in option else ":")
        if not equals and option != "no-new-privileges":
            raise ValueError(f'Invalid --security-opt: "{option}"')
        if key == "seccomp" and value not in ("unconfined", "builtin"):
            option = f"seccomp={_profile(value)}"  # noqa: PLW2901
        kept.append(option)
    if kept:
        host["SecurityOpt"] = kept


def _profile(path: str) -> str:
    import json

    try:
        return json.dumps(json.loads(Path(path).read_text()), separators=(",", ":"))
    except OSError as error:
        why = f"open {path}: {(error.strerror or '').lower()}"
        raise ValueError(f"opening seccomp profile ({path}) failed: {why}") from error
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from error


def healthcheck(flags: Mapping[str, Any]) -> Body:
    """How the container's health is checked, if anything is said about it."""
    times = {
        "Interval": flags["health_interval"],
        "Timeout": flags["health_timeout"],
        "StartPeriod": flags["health_start_period"],
        "StartInterval": flags["health_start_interval"],
        "Retries": flags["health_retries"],
    }
    given = {key: value for key, value in times.items() if value}
    if flags["no_healthcheck"]:
        if given or flags["health_cmd"]:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for name in ("interval", "timeout", "retries", "start_period", "start_interval"):
        if (flags[f"health_{name}"] or 0) < 0:
            raise ValueError(f"--health-{name.replace('_', '-')} cannot be negative")
    if flags["health_cmd"]:
        return {"Test": ["CMD-SHELL", flags["health_cmd"]], **given}
    return given
