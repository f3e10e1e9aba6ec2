"""The `fairlead` command: finds the command that is meant, runs it, and reports what went wrong.

The rule it keeps: nothing is imported that the one command asked for does not
need, so the tables below name every command and no module of theirs is loaded.
"""

from __future__ import annotations

import os
import sys

import click

from fairlead import __version__
from fairlead.cli.command import LazyGroup, Option, Refused, usage_line

Table = dict[str, tuple[object, str]]

HERE = "fairlead.cli"
COMPLETE = "_FAIRLEAD_COMPLETE"
"""What a shell sets that wants to complete a command line."""
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141


def _at(module: str, attribute: str, summary: str) -> tuple[str, str]:
    return f"{HERE}.{module}:{attribute}", summary


RUN = _at("run", "run", "Create and run a new container from an image")
CREATE = _at("run", "create", "Create a new container")
START = _at("start", "start", "Start one or more stopped containers")
ATTACH = _at("start", "attach", "Attach local standard input, output and error to a container")
EXEC = _at("exec", "execute", "Execute a command in a running container")
PS = _at("ps", "ps", "List containers")
LOGS = _at("logs", "logs", "Fetch the logs of a container")
RM = _at("container", "rm", "Remove one or more containers")
STOP = _at("container", "stop", "Stop one or more running containers")
RESTART = _at("container", "restart", "Restart one or more containers")
KILL = _at("container", "kill", "Kill one or more running containers")
PAUSE = _at("container", "pause", "Pause all processes within one or more containers")
UNPAUSE = _at("container", "unpause", "Unpause all processes within one or more containers")
WAIT = _at("container", "wait", "Block until containers stop, then print their exit codes")
RENAME = _at("container", "rename", "Rename a container")
TOP = _at("container", "top", "Display the running processes of a container")
PORT = _at("container", "port", "List port mappings or a specific mapping for the container")
DIFF = _at("container", "diff", "Inspect changes to files on a container's filesystem")
UPDATE = _at("update", "update", "Update configuration of one or more containers")
STATS = _at("stats", "stats", "Display a live stream of containers' resource usage")
COPY = _at("copy", "cp", "Copy files between a container and the local filesystem")
EXPORT = _at("copy", "export", "Export a container's filesystem as a tar archive")
IMAGES = _at("image", "images", "List images")
RMI = _at("image", "rmi", "Remove one or more images")
TAG = _at("image", "tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE")
HISTORY = _at("image", "history", "Show the history of an image")
PULL = _at("transfer", "pull", "Download an image from a registry")
PUSH = _at("transfer", "push", "Upload an image to a registry")
LOAD = _at("transfer", "load", "Load an image from a tar archive or STDIN")
SAVE = _at("transfer", "save", "Save images to a tar archive (to STDOUT by default)")
IMPORT = _at("transfer", "import_", "Import the contents of a tarball as an image")
COMPLETION = _at("completion", "completion", "Print the completion script for a shell")
EVENTS = _at("system", "events", "Get real time events from the server")
INFO = _at("info", "info", "Display system-wide information")
VERSION = _at("system", "version", "Show the version information")

CONTAINER: Table = {
    "attach": ATTACH,
    "completion": COMPLETION,
    "cp": COPY,
    "create": CREATE,
    "diff": DIFF,
    "exec": EXEC,
    "export": EXPORT,
    "inspect": _at("inspect", "container", "Display detailed information on containers"),
    "kill": KILL,
    "logs": LOGS,
    "ls": PS,
    "pause": PAUSE,
    "port": PORT,
    "prune": _at("container", "prune", "Remove all stopped containers"),
    "rename": RENAME,
    "restart": RESTART,
    "rm": RM,
    "run": RUN,
    "start": START,
    "stats": STATS,
    "stop": STOP,
    "top": TOP,
    "unpause": UNPAUSE,
    "update": UPDATE,
    "wait": WAIT,
}
IMAGE: Table = {
    "history": HISTORY,
    "import": IMPORT,
    "inspect": _at("inspect", "image", "Display detailed information on images"),
    "load": LOAD,
    "ls": IMAGES,
    "prune": _at("image", "prune", "Remove unused images"),
    "pull": PULL,
    "push": PUSH,
    "rm": RMI,
    "save": SAVE,
    "tag": TAG,
}
NETWORK: Table = {
    "connect": _at("network", "connect", "Connect a container to a network"),
    "create": _at("network_create", "create", "Create a network"),
    "disconnect": _at("network", "disconnect", "Disconnect a container from a network"),
    "inspect": _at("inspect", "network", "Display detailed information on networks"),
    "ls": _at("network", "ls", "List networks"),
    "prune": _at("network", "prune", "Remove all unused networks"),
    "rm": _at("network", "rm", "Remove one or more networks"),
    "tree": _at("tree", "tree", "Draw the networks and the containers on them"),
}
SANDBOX: Table = {
    "adopt": _at("sandbox", "adopt", "Make a sandbox of a network namespace that is there"),
    "create": _at("sandbox", "create", "Create a sandbox"),
    "exec": _at("sandbox", "execute", "Run a command in a sandbox"),
    "inspect": _at("sandbox", "inspect", "Display detailed information on sandboxes"),
    "join": _at("sandbox", "join", "Put a sandbox on a network"),
    "leave": _at("sandbox", "leave", "Take a sandbox off a network"),
    "ls": _at("sandbox", "ls", "List sandboxes"),
    "publish": _at("sandbox", "publish", "Lead ports of the host to a sandbox"),
    "rm": _at("sandbox", "rm", "Remove one or more sandboxes"),
    "unpublish": _at("sandbox", "unpublish", "Close ports that lead to a sandbox"),
}
VOLUME: Table = {
    "create": _at("volume", "create", "Create a volume"),
    "inspect": _at("inspect", "volume", "Display detailed information on volumes"),
    "ls": _at("volume", "ls", "List volumes"),
    "prune": _at("volume", "prune", "Remove unused local volumes"),
    "rm": _at("volume", "rm", "Remove one or more volumes"),
}
SYSTEM: Table = {
    "df": _at("usage", "df", "Show disk usage"),
    "events": EVENTS,
    "info": INFO,
}
COMMANDS: Table = {
    "run": RUN,
    "exec": EXEC,
    "ps": PS,
    "pull": PULL,
    "push": PUSH,
    "images": IMAGES,
    "version": VERSION,
    "info": INFO,
    "daemon": _at("daemon", "daemon", "Run the daemon"),
    "explain": _at("explain", "explain", "Show each kernel object of a network, and why it stands"),
    "doctor": _at("doctor", "doctor", "Show what is wrong with the host's networks, and repair it"),
    "trace": _at("trace", "trace", "Show what becomes of a packet on this host, and why"),
    "cluster": _at("tree", "cluster", "Draw the cluster: its hosts and the networks through them"),
    "rotate-keys": _at(
        "rotation", "rotate_keys", "Let the cluster encrypt with new keys from now on"
    ),
    "container": (CONTAINER, "Manage containers"),
    "image": (IMAGE, "Manage images"),
    "network": (NETWORK, "Manage networks"),
    "sandbox": (SANDBOX, "Manage network namespaces without a container"),
    "system": (SYSTEM, "Manage the daemon"),
    "volume": (VOLUME, "Manage volumes"),
    "attach": ATTACH,
    "completion": COMPLETION,
    "cp": COPY,
    "create": CREATE,
    "diff": DIFF,
    "events": EVENTS,
    "export": EXPORT,
    "history": HISTORY,
    "import": IMPORT,
    "inspect": _at("inspect", "anything", "Return low-level information on Docker objects"),
    "kill": KILL,
    "load": LOAD,
    "logs": LOGS,
    "pause": PAUSE,
    "port": PORT,
    "rename": RENAME,
    "restart": RESTART,
    "rm": RM,
    "rmi": RMI,
    "save": SAVE,
    "start": START,
    "stats": STATS,
    "stop": STOP,
    "tag": TAG,
    "top": TOP,
    "unpause": UNPAUSE,
    "update": UPDATE,
    "wait": WAIT,
}
ALIASES = {
    ("container", "list"): "ls",
    ("container", "ps"): "ls",
    ("container", "remove"): "rm",
    ("image", "list"): "ls",
    ("image", "remove"): "rm",
    ("network", "list"): "ls",
    ("network", "remove"): "rm",
    ("sandbox", "list"): "ls",
    ("sandbox", "remove"): "rm",
    ("volume", "list"): "ls",
    ("volume", "remove"): "rm",
}


def root() -> LazyGroup:
    """The whole tree of commands, none of them loaded."""
    return LazyGroup(
        "fairlead",
        COMMANDS,
        help="Container networks in Python, spoken to through the Docker Engine API.",
        params=[
            Option(["-H", "--host"], multiple=True, help="Daemon socket to connect to"),
            Option(
                ["-v", "--version"],
                switch=True,
                default=False,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print version information and quit",
            ),
        ],
    )


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"fairlead version {__version__}")
        ctx.exit(0)


def main(args: list[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    if COMPLETE in os.environ:
        from fairlead.cli.completion import complete

        return complete(root())
    words = _unaliased(sys.argv[1:] if args is None else args)
    try:
        with root().make_context("fairlead", words) as ctx:
            status = ctx.command.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        # Who read our output has seen enough; nothing of ours may complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE_STATUS
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED_STATUS
    except Refused as refusal:
        return _refused(refusal)
    except click.ClickException as error:
        click.echo(f"fairlead: {error.format_message()}", err=True)
        return 1
    except Exception as error:  # noqa: BLE001 - what is no refusal is raised again in there
        from fairlead.cli.report import reported

        return reported(error)
    return int(status or 0)


def _unaliased(words: list[str]) -> list[str]:
    """Docker's second names for a few commands, replaced by their first."""
    for index in range(len(words) - 1):
        pair = words[index], words[index + 1]
        if pair in ALIASES:
            return [*words[: index + 1], ALIASES[pair], *words[index + 2 :]]
    return words


def _refused(refusal: Refused) -> int:
    click.echo(refusal.message, err=True)
    if refusal.usage is not None:
        path = refusal.usage.command_path
        click.echo(f"\n{usage_line(refusal.usage)}\n", err=True)
        click.echo(f"Run '{path} --help' for more information", err=True)
    if refusal.hint:
        click.echo(f"hint: {refusal.hint}", err=True)
    return refusal.status


if __name__ == "__main__":
    sys.exit(main())
