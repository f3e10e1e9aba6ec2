"""From our words to the OCI runtime's: one container to one config.json.

Pure, but for device nodes, which are looked up on the host. The defaults are
Docker's: fourteen capabilities, none of them inheritable, the usual masked and
read-only paths, a read-only /sys, a private everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fairlead.model.container import ContainerSpec, ExecSpec, Process, Ulimit
from fairlead.model.errors import Failed, Invalid
from fairlead.runtime.capability import capabilities
from fairlead.runtime.host import Host
from fairlead.runtime.identity import Identity
from fairlead.runtime.linux import linux
from fairlead.runtime.mounts import mounts

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = "/sbin/docker-init"


def oci_spec(container: ContainerSpec, who: Identity, host: Host, cgroup: str) -> dict[str, Any]:
    """The config.json of a container."""
    caps = capabilities(
        container.cap_add,
        container.cap_drop,
        privileged=container.privileged,
        available=host.capabilities,
    )
    made: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": _process(container, who, caps, host),
        "root": {"path": str(container.rootfs), "readonly": container.read_only_rootfs},
        "mounts": mounts(container, host.init, INIT),
        "annotations": dict(container.annotations),
        "linux": linux(container, caps, host, cgroup),
    }
    if container.uts != "host" and container.hostname:
        made["hostname"] = container.hostname
    return made


def exec_process(spec: ExecSpec, base: dict[str, Any], who: Identity | None, host: Host) -> Any:
    """The process document of a further program, given the container's own."""
    process = spec.process
    user = dict(base["user"]) if who is None else _user(who)
    caps = list(host.capabilities) if spec.privileged else base["capabilities"]["bounding"]
    inherited = [item for item in base["env"] if not item.startswith("TERM=")]
    home = ""
    if who is not None:
        inherited = [item for item in inherited if not item.startswith("HOME=")]
        home = who.home
    defaults = [*inherited, *(["TERM=xterm"] if process.terminal else [])]
    made = {
        **base,
        "args": list(process.args),
        "cwd": process.cwd or base["cwd"],
        "terminal": process.terminal,
        "user": user,
        "env": environment(defaults, process.env, home),
        "capabilities": _capability_sets(caps, user["uid"]),
    }
    made.pop("consoleSize", None)
    return {**made, **_console(process)}


def environment(defaults: Iterable[str], wanted: Iterable[str], home: str) -> list[str]:
    """Later settings win; a name without ``=`` takes a default away."""
    made: dict[str, str | None] = {}
    for item in (*defaults, *wanted):
        name, sign, _ = item.partition("=")
        made[name] = item if sign else None
    if home:
        made.setdefault("HOME", f"HOME={home}")
    return [item for item in made.values() if item is not None]


def _process(
    container: ContainerSpec, who: Identity, caps: Sequence[str], host: Host
) -> dict[str, Any]:
    process = container.process
    if not process.args:
        raise Invalid("no command specified")
    args = process.args
    if container.init:
        if not host.init:
            raise Failed("no init binary found on the host", hint="install tini")
        args = (INIT, "--", *args)
    defaults = [PATH]
    if container.hostname:
        defaults.append(f"HOSTNAME={container.hostname}")
    if process.terminal:
        defaults.append("TERM=xterm")
    made: dict[str, Any] = {
        "terminal": process.terminal,
        "user": _user(who),
        "args": list(args),
        "env": environment(defaults, process.env, who.home),
        "cwd": process.cwd or "/",
        "capabilities": _capability_sets(caps, who.uid),
        "rlimits": [_rlimit(limit) for limit in container.ulimits],
        "noNewPrivileges": _no_new_privileges(container.security_opt),
        **_console(process),
    }
    # Writing even an unchanged value needs a privilege the daemon may lack.
    if container.oom_score_adj:
        made["oomScoreAdj"] = container.oom_score_adj
    return made


def _console(process: Process) -> dict[str, Any]:
    if not process.terminal or process.console_size is None:
        return {}
    rows, columns = process.console_size
    return {"consoleSize": {"height": rows, "width": columns}} if rows and columns else {}


def _user(who: Identity) -> dict[str, Any]:
    return {"uid": who.uid, "gid": who.gid, "additionalGids": list(who.groups)}


def _capability_sets(caps: Sequence[str], uid: int) -> dict[str, list[str]]:
    # Inheritable and ambient stay empty: a set inheritable bit outlives the setuid
    # of an ordinary user (CVE-2022-24769). Only root starts with effective ones,
    # as execve itself would have it.
    held = list(caps) if uid == 0 else []
    return {
        "bounding": list(caps),
        "effective": held,
        "permitted": held,
        "inheritable": [],
        "ambient": [],
    }


def _rlimit(limit: Ulimit) -> dict[str, Any]:
    def number(value: int) -> int:
        return value if value >= 0 else 2**64 - 1

    return {
        "type": f"RLIMIT_{limit.name.upper()}",
        "soft": number(limit.soft),
        "hard": number(limit.hard),
    }


def _no_new_privileges(options: Iterable[str]) -> bool:
    wanted = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
    return any(option in wanted for option in options)
