"""`fairlead explain`: each kernel object that stands for a network or container, and why."""

from __future__ import annotations

import sys

from fairlead.cli.command import Refused, command
from fairlead.cli.remote import name, remote
from fairlead.http.client import ApiError


@command("NETWORK|CONTAINER", least=1, most=1)
def explain(args: tuple[str, ...]) -> None:
    daemon = remote()
    try:
        answer = daemon.get(f"/fairlead/explain/{name(args[0])}")
    except ApiError as error:
        if "page not found" in error.message:
            message = f"the daemon at {daemon.host} is not fairlead and cannot explain"
            raise Refused(
                message, hint="name fairlead's socket with -H or FAIRLEAD_HOST"
            ) from error
        raise
    sys.stdout.write("".join(f"{line}\n" for line in answer.get("Lines") or ()))
