"""Completion for shells: what may come next on a command line, with names from the daemon.

The script and the protocol between shell and program are click's; the words are
found here, because our commands read their options as Docker's do and a shell
must not load every command to list their names. A daemon that does not answer
at once completes nothing: nobody wants to wait for a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem

from fairlead.cli.command import LazyGroup, Option, Refused, command

if TYPE_CHECKING:
    from fairlead.cli.remote import Remote

VARIABLE = "_FAIRLEAD_COMPLETE"
PLAIN = "plain"
FILE = CompletionItem("", type="file")

Names = Callable[["Remote"], Iterable[str]]


def _containers(daemon: Remote, path: str = "/containers/json?all=1") -> Iterable[str]:
    return [c["Names"][0].removeprefix("/") for c in daemon.get(path)]


def _running(daemon: Remote) -> Iterable[str]:
    return _containers(daemon, "/containers/json")


def _networks(daemon: Remote) -> Iterable[str]:
    return [network["Name"] for network in daemon.get("/networks")]


def _volumes(daemon: Remote) -> Iterable[str]:
    return [volume["Name"] for volume in daemon.get("/volumes")["Volumes"] or ()]


def _images(daemon: Remote) -> Iterable[str]:
    return [tag for image in daemon.get("/images/json") for tag in image["RepoTags"] or ()]


def _anything(daemon: Remote) -> Iterable[str]:
    return [*_containers(daemon), *_networks(daemon)]


RUNNING = frozenset({"attach", "exec", "kill", "pause", "port", "stats", "stop", "top", "unpause"})
CONTAINER = frozenset(
    {*RUNNING, "cp", "diff", "export", "logs", "rename", "restart", "rm", "start", "update", "wait"}
)
IMAGE = frozenset({"create", "history", "images", "push", "rmi", "run", "save", "tag"})
OPTIONS: Mapping[str, Names] = {
    "--network": _networks,
    "--net": _networks,
    "--volumes-from": _containers,
    "--link": _running,
    "--to": _running,
}
"""Options whose values are names of something."""


def _senders(daemon: Remote) -> Iterable[str]:
    return ["any", "host", *_running(daemon)]


def _arguments(path: Sequence[str], before: int) -> Names | None:
    """What the arguments of a command are names of; `before` are there already."""
    noun, verb = (path[0] if len(path) > 1 else ""), path[-1]
    if noun == "network":
        if verb in ("connect", "disconnect"):
            return _containers if before else _networks
        return _networks if verb in ("inspect", "rm") else None
    if noun == "volume":
        return _volumes if verb in ("inspect", "rm") else None
    if noun == "image":
        return _images if verb in ("inspect", "rm", *IMAGE) else None
    if verb in ("explain", "inspect"):
        return _anything
    if verb == "trace":
        return None if before else _senders
    if verb in CONTAINER:
        if verb == "exec" and before:
            return None
        return _running if verb in RUNNING else _containers
    return _images if verb in IMAGE and not before else None


class Completion(BashComplete):
    """Click's completion for bash, with words found our way."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What may stand in place of the word that is being typed."""
        here: click.Command = self.cli
        path: list[str] = []
        waiting: click.Parameter | None = None
        host = ""
        given = 0
        for word in args:
            if waiting is not None:
                host = word if "--host" in waiting.opts else host
                waiting = None
            elif word.startswith("-") and word != "-":
                waiting = _takes_value(here, word)
                host = word.partition("=")[2] if word.startswith(("-H=", "--host=")) else host
            elif isinstance(here, LazyGroup):
                found = here.get_command(click.Context(here), word)
                if found is None:
                    return []
                here = found
                path.append(word)
            else:
                given += 1
        if waiting is not None:
            names = next((OPTIONS[o] for o in waiting.opts if o in OPTIONS), None)
            return _live(host, names, incomplete) if names else [FILE]
        if incomplete.startswith("-"):
            return _options(here, incomplete)
        if isinstance(here, LazyGroup):
            ctx = click.Context(here)
            return _starting(here.list_commands(ctx), incomplete)
        return _live(host, _arguments(path, given), incomplete)


def _takes_value(of: click.Command, word: str) -> click.Parameter | None:
    """The option whose value is the next word, if a word is such an option."""
    if "=" in word:
        return None
    for param in of.params:
        if word in param.opts:
            if isinstance(param, Option):
                return None if param.switch else param
            flag = isinstance(param, click.Option) and param.is_flag
            return None if flag or param.type is click.BOOL else param
    return None


def _options(of: click.Command, incomplete: str) -> list[CompletionItem]:
    words = [o for param in of.params for o in param.opts if o.startswith("--")]
    return _starting(words, incomplete)


def _starting(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    found = sorted({word for word in words if word.startswith(incomplete)})
    return [CompletionItem(word, type=PLAIN) for word in found]


def _live(host: str, names: Names | None, incomplete: str) -> list[CompletionItem]:
    """Names of what there is now."""
    if names is None:
        return [FILE]
    from fairlead.cli.remote import Remote, address
    from fairlead.http.client import ApiError
    from fairlead.model.errors import FairleadError

    try:
        return _starting(names(Remote(address([host] if host else ()))), incomplete)
    except (OSError, ApiError, FairleadError):
        # Whoever goes on to run the command is told.
        return []


def complete(root: click.Command) -> int:
    """Print the words that the shell asks for in the environment."""
    click.echo(Completion(root, {}, "fairlead", VARIABLE).complete())
    return 0


@command("bash", least=1, most=1)
def completion(args: tuple[str, ...]) -> int:
    """Print the script that a shell reads to complete `fairlead`."""
    if args[0] != "bash":
        raise Refused(f"there is no completion for {args[0]}", hint="there is one for bash")
    root = click.get_current_context().find_root().command
    # Click would run bash to learn its version, and the script is made for another machine's.
    made = Completion(root, {}, "fairlead", VARIABLE)
    click.echo(made.source_template % made.source_vars())
    return 0
