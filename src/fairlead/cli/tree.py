"""`fairlead network tree` and `fairlead cluster`: text pictures of networks and who is on them."""

from __future__ import annotations

import sys

from fairlead.cli.command import command
from fairlead.cli.remote import remote


@command("", most=0)
def tree(args: tuple[str, ...]) -> None:
    answer = remote().get("/fairlead/tree")
    sys.stdout.write("".join(f"{line}\n" for line in answer["Lines"]))


@command("", most=0)
def cluster(args: tuple[str, ...]) -> None:
    answer = remote().get("/fairlead/cluster")
    sys.stdout.write("".join(f"{line}\n" for line in answer["Lines"]))
