"""The daemon's side of gossip as a program: told what to do by lines of JSON, and telling so.

    python -m tests.gossip.driver FOLDER NAME ADDRESS [KEY]

It is what a test runs in a machine in place of a whole daemon.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import Path
from typing import Any

from fairlead.cluster.gossip import Found, PeerEvent
from fairlead.gossip.agent import Agent, agent
from fairlead.gossip.gossip import Heard, Lookup, in_use
from fairlead.gossip.keys import read_key
from fairlead.gossip.process import Settings
from fairlead.gossip.roster import MemberEvent
from fairlead.model.errors import FairleadError


def say(**what: Any) -> None:
    """One line for the test."""
    print(json.dumps(what, default=str), flush=True)


def plain(heard: Heard) -> dict[str, Any]:
    """What was heard, by its kind."""
    if isinstance(heard, MemberEvent):
        return {"kind": heard.what.name, **asdict(heard.member)}
    if isinstance(heard, Lookup):
        return {"kind": "LOOKUP", "network": heard.network, "address": heard.address}
    return {"kind": "JOIN" if heard.joined else "LEAVE", **asdict(heard)}


class Driver:
    """Does what the lines say."""

    def __init__(self, gossip: Agent, group: asyncio.TaskGroup) -> None:
        self._gossip = gossip
        self._tasks = [group.create_task(gossip.run()), group.create_task(self.listen())]
        self._known: dict[tuple[str, str], Found] = {}

    async def listen(self) -> None:
        """Tell what is heard, and answer what is known."""
        async for heard in self._gossip.heard():
            say(heard=plain(heard))
            if isinstance(heard, Lookup):
                found = self._known.get((heard.network, str(heard.address)))
                if found is not None:
                    await self._gossip.answer(heard, found)

    def end(self) -> None:
        """Let go of the agent."""
        for task in self._tasks:
            task.cancel()

    async def do(self, line: str) -> None:
        """One thing, and how it went."""
        order = json.loads(line)
        try:
            say(done=order["number"], value=await self._do(order))
        except FairleadError as error:
            say(done=order["number"], error=error.message, hint=error.hint)

    async def _do(self, order: dict[str, Any]) -> Any:
        match order["do"]:
            case "tell":
                for event in order["events"]:
                    await self._gossip.tell(_event(event))
            case "join":
                await self._gossip.join(map(IPv4Address, order["addresses"]))
            case "know":
                event = _event(order["event"])
                at = (event.network, str(event.address.ip))
                self._known[at] = Found(event.mac, event.address, event.host)
            case "members":
                return [asdict(member) for member in await self._gossip.members()]
            case "keys":
                return await self._gossip.keys()
            case "rotate":
                await self._gossip.rotate(order["key"])
            case "in_use":
                return in_use(self._gossip)
            case "stop":
                self.end()
                await self._gossip.stop()
            case "erase":
                self.end()
                await self._gossip.erase()
        return None


def _event(plain: dict[str, Any]) -> PeerEvent:
    host, address = ip_address(plain["host"]), ip_interface(plain["address"])
    return PeerEvent(**{**plain, "host": host, "address": address})


async def main(folder: str, name: str, address: str, key: str = "") -> None:
    """Run until the test hangs up."""
    settings = Settings(name, ip_address(address), read_key(key) if key else "")
    gossip = agent(Path(folder), settings, lambda line: say(report=line))
    assert gossip is not None, "there is no serf on the PATH"
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with asyncio.TaskGroup() as group:
        driver = Driver(gossip, group)
        while line := await lines.readline():
            await driver.do(line.decode())
        driver.end()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
