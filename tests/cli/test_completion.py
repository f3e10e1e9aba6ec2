"""Completion: what bash offers when somebody presses the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import Daemon, Machine
from tests.lab.daemon import PROGRAM, SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

# Loads the script as a shell does at its start, then acts as readline does for one line.
PRESS = r"""
PATH=$1:$PATH
eval "$(fairlead completion bash)"
compopt() { files=yes; }
COMP_WORDS=($2) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
case $2 in *' ') COMP_WORDS+=('') COMP_CWORD=$((COMP_CWORD + 1)) ;; esac
set -- $(complete -p fairlead)
while [ "$1" != -F ]; do shift; done
COMPREPLY=()
"$2" fairlead
printf '%s\n' "${COMPREPLY[@]}" ${files:+FILES}
"""


def offered(machine: Machine, line: str) -> list[str]:
    """The words that bash offers at the end of a line."""
    command = ["bash", "--norc", "-c", PRESS, "bash", str(PROGRAM.parent), line]
    done = machine.run(command, env={"DOCKER_HOST": f"unix://{SOCKET}"})
    return [word for word in done.stdout.split("\n") if word]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with a daemon that has something to name."""
    with Machine("cli") as made, Daemon(made) as daemon:
        daemon.import_busybox()
        for network in ("front", "frozen", "back"):
            daemon.fairlead("network", "create", network)
        daemon.fairlead("volume", "create", "shelf")
        daemon.fairlead("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        daemon.fairlead("create", "--name", "idle", "busybox")
        yield made


@pytest.mark.root
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fairlead net", ["network"]),
        ("fairlead network in", ["inspect"]),
        ("fairlead network inspect fr", ["front", "frozen"]),
        ("fairlead network connect front ", ["idle", "web"]),
        ("fairlead run --network fr", ["front", "frozen"]),
        ("fairlead run -d --network front --na", ["--name"]),
        ("fairlead run --rm bus", ["busybox:latest"]),
        ("fairlead stop ", ["web"]),
        ("fairlead start ", ["idle", "web"]),
        ("fairlead explain b", ["back", "bridge"]),
        ("fairlead trace ", ["any", "host", "web"]),
        ("fairlead trace host :80 --to ", ["web"]),
        ("fairlead volume rm ", ["shelf"]),
        ("fairlead exec web ", ["FILES"]),
        ("fairlead nosuch ", []),
        ("fairlead -H unix:///nowhere stop ", []),
        ("fairlead daemon --default-network", ["--default-network-opt"]),
    ],
)
def test_what_is_offered(machine: Machine, line: str, words: list[str]) -> None:
    """Commands, options, and the names of what there is."""
    assert offered(machine, line) == words
