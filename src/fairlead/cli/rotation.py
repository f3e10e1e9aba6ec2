"""`fairlead rotate-keys`: new keys for what goes between the hosts of a cluster."""

from __future__ import annotations

from fairlead.cli.command import Refused, command
from fairlead.cli.remote import remote
from fairlead.http.client import ApiError


@command("", most=0)
def rotate_keys(args: tuple[str, ...]) -> int:
    daemon = remote()
    try:
        done = daemon.ask("POST", "/fairlead/cluster/rotate-keys")
    except ApiError as error:
        if "page not found" in error.message:
            message = f"the daemon at {daemon.host} is not fairlead, or an older one"
            hint = "name fairlead's socket with -H or FAIRLEAD_HOST"
            raise Refused(message, hint=hint) from error
        raise
    if done["Generation"]:
        print(f"networks: generation {done['Generation']}, on {done['Hosts']} hosts")
    if done["Gossip"]:
        print("gossip: a new key")
    return 0
