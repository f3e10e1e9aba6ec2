"""Gossip with the other hosts of a cluster, by a serf agent on this one.

`run` keeps an agent running and listens to it. What is heard goes through three gates
(`cluster/gossip.py` reads it, `roster.py` knows the members, `admission.py` judges) into a
queue of fixed length; what is to be told waits in another while there is no agent.

Rule: gossip is a hint that comes early, and may be lost; the store is the truth. So nothing
here makes anybody wait for an agent, and whatever is too much is dropped and reported.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from fairlead.cluster import gossip as words
from fairlead.cluster.gossip import BadWords, Found, PeerEvent
from fairlead.gossip.admission import Admission
from fairlead.gossip.gossip import Heard, Lookup, Report
from fairlead.gossip.process import PORT, Process, Settings, program
from fairlead.gossip.roster import ALIVE, Member, MemberEvent, Roster, plain_address
from fairlead.gossip.rpc import Calls, KeyReply, Listening, RawMember, Record, Refused
from fairlead.gossip.troubles import Once, trouble
from fairlead.model.errors import Failed, FairleadError, Unavailable, reasons
from fairlead.model.packet import joined
from fairlead.model.state import IPAddress

EVENTS = f"member-join,member-leave,member-failed,member-reap,user,query:{words.LOOKUP}"
LOG_LEVEL = "WARN"

MOST_HEARD = 10_000
MOST_TOLD = 10_000
MOST_SEEDS = 10_000
LOOK_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 2.0
STRANGERS_PER_SECOND = 2.0
STRANGERS_BURST = 10.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
HEALTHY_SECONDS = 10.0
PATIENCE = 4
"""So many times an agent that lives may fail to serve us before it is replaced."""


class Agent:
    """Gossip by the agent of a folder."""

    def __init__(
        self, process: Process, settings: Settings, report: Report, version: str = ""
    ) -> None:
        self.settings = settings
        self._version = version
        self._process = process
        self._report = report
        self._once = Once()
        self._roster = Roster(settings.address)
        self._admission = Admission()
        self._heard: deque[Heard] = deque()
        self._told: deque[PeerEvent] = deque(maxlen=MOST_TOLD)
        self._wake_heard, self._wake_told = asyncio.Event(), asyncio.Event()
        self._seeds: dict[IPAddress, None] = {}
        self._calls: Calls | None = None
        self._listening: Listening | None = None
        self._connection = 0
        self._strangers = STRANGERS_BURST
        self._stranger_at = 0.0
        self._why = "it has not begun"

    # What others ask of it.

    async def tell(self, event: PeerEvent) -> None:
        """Tell all hosts, soon; never waits for one."""
        if len(self._told) == MOST_TOLD:
            self._say("there is more to tell than can be told; some events are lost")
        self._told.append(event)
        self._wake_told.set()

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """What others tell, for one listener; ends only when closed."""
        while True:
            while self._heard:
                yield self._heard.popleft()
            self._wake_heard.clear()
            await self._wake_heard.wait()

    async def answer(self, lookup: Lookup, found: Found) -> None:
        """Answer who asked, unless the agent that heard it has gone since."""
        if self._listening is not None and lookup.connection == self._connection:
            await self._listening.respond(lookup.id, words.answer_words(found))

    async def members(self) -> tuple[Member, ...]:
        """All hosts that are known, this one and dead ones included."""
        return tuple(member for raw in await self._list() if (member := _member(raw)))

    async def join(self, addresses: Iterable[IPAddress]) -> None:
        """Meet these hosts now, and whenever an agent begins."""
        wanted = [address for address in addresses if address != self.settings.address]
        self._seeds.update(dict.fromkeys(wanted[:MOST_SEEDS]))
        for address in list(self._seeds)[: max(0, len(self._seeds) - MOST_SEEDS)]:
            del self._seeds[address]
        if self._calls is not None:
            await self._meet(wanted)

    async def keys(self) -> dict[str, int]:
        """The keys of the cluster as base64, and how many hosts have each."""
        return (await self._ring("list-keys", "")).keys or {}

    async def rotate(self, key: str) -> None:
        """Make a key the only one of the cluster: every host gets it, uses it, forgets others.

        Raises Failed at the first step that not all hosts took; it may simply be done again.
        """
        await self._ring("install-key", key)
        await self._ring("use-key", key)
        for old in (await self.keys()).keys() - {key}:
            await self._ring("remove-key", old)

    @property
    def encrypted(self) -> bool:
        """Whether it has keys."""
        return self._process.encrypted

    async def stop(self) -> None:
        """End the agent: others hear that we leave."""
        await self._process.stop()

    async def erase(self) -> None:
        """End the agent and forget whom it knew."""
        await self._process.erase()

    def __str__(self) -> str:
        if self._calls is None:
            return f"serf, not now: {self._why}"
        secret = "encrypted" if self._process.encrypted else "not encrypted"
        return f"serf {self._version}: {len(self._roster)} other hosts, {secret}"

    # What keeps it going.

    async def run(self) -> None:
        """Keep an agent running and listen to it; returns only when cancelled."""
        pause, failures = FIRST_PAUSE_SECONDS, 0
        while True:
            begun = self._now()
            try:
                if await self._process.ensure(self.settings):
                    self._admission.forget_times()
                await self._session()
            except* (OSError, Refused, FairleadError) as errors:
                self._why = reasons(errors)[0]
            if self._now() - begun > HEALTHY_SECONDS:
                pause, failures = FIRST_PAUSE_SECONDS, 0
            alive = self._process.running()
            told = self._why if alive else f"the agent has ended: {self._why}"
            self._say(f"{told}; hosts hear by the store meanwhile")
            failures += 1
            if alive and failures % PATIENCE == 0:
                await self._process.stop()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _session(self) -> None:
        """Be connected to the agent; ends with an error, alone or in a group."""
        async with AsyncExitStack() as stack:
            place = self._process.way_in()
            calls = await Calls.open(*place)
            stack.callback(calls.close)
            listening = await Listening.open(*place)
            stack.callback(listening.close)
            self._connection += 1
            self._calls, self._listening = calls, listening
            stack.callback(self._disconnected)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(listening))
                group.create_task(self._speak(calls))
                group.create_task(self._look_around())
                group.create_task(self._meet_seeds())

    def _disconnected(self) -> None:
        self._calls = self._listening = None

    async def _listen(self, listening: Listening) -> None:
        connection = self._connection
        async for record in listening.records(EVENTS, LOG_LEVEL):
            if record.log:
                if said := trouble(record.log, self.settings.name):
                    self._say(said)
            elif record.event == "user":
                await self._peer(record)
            elif record.event == "query":
                self._query(record, connection)
            else:
                self._news(self._roster.heard(record.event, record.members))

    async def _speak(self, calls: Calls) -> None:
        while True:
            while self._told:
                event = self._told[0]
                try:
                    await calls.event(*words.event_words(event))
                except Refused as error:
                    self._say(f"the agent does not tell of {event}: {error}")
                # Not before: what the agent did not take is told to the next one.
                if self._told and self._told[0] is event:
                    self._told.popleft()
            self._wake_told.clear()
            await self._wake_told.wait()

    async def _look_around(self) -> None:
        """Read the whole list now and then: single events may be lost."""
        while True:
            await self._list()
            await asyncio.sleep(LOOK_AGAIN_SECONDS if self._roster.missing else LOOK_SECONDS)

    async def _meet_seeds(self) -> None:
        try:
            await self._meet(list(self._seeds))
        except Unavailable as error:
            self._say(error.message)

    async def _meet(self, addresses: Iterable[IPAddress]) -> None:
        places = [joined(address, PORT) for address in addresses if address not in self._roster]
        if not places:
            return
        try:
            # A connection of its own: those that do not answer are waited for.
            calls = await self._process.calls()
            try:
                await calls.join(places)
            finally:
                calls.close()
        except (OSError, Refused) as error:
            raise Unavailable(
                f"no other host was met at {', '.join(places)}: {_flat(str(error))}",
                hint=f"port {PORT}, tcp and udp, must be open between hosts, and the keys equal",
            ) from error

    # What is heard.

    async def _peer(self, record: Record) -> None:
        if not words.is_event(record.name):
            return
        try:
            event = words.read_event(record.name, record.payload or b"")
        except BadWords as error:
            self._say(f"an event was refused: {error}")
            return
        if event.host == self.settings.address:
            # Our own words come back.
            return
        now = self._now()
        if event.host not in self._roster and self._time_for_strangers(now):
            # News of members come a second late, and events at once.
            await self._list()
        if event.host not in self._roster:
            self._say(f"{event.host} is no member, and is not heard")
        elif why := self._admission.refused(event, record.l_time, now):
            self._say(f"{why}, and is not heard")
        else:
            self._push(event)

    def _query(self, record: Record, connection: int) -> None:
        try:
            question = words.read_question(record.payload or b"")
        except BadWords as error:
            self._say(f"a question was refused: {error}")
            return
        self._push(Lookup(question.network, question.address, record.id, connection))

    def _news(self, events: Iterable[MemberEvent]) -> None:
        for event in events:
            self._push(event)

    def _push(self, heard: Heard) -> None:
        # Members are known by single events only, so these have room when others have none.
        room = MOST_HEARD * (4 if isinstance(heard, MemberEvent) else 1)
        if len(self._heard) >= room:
            self._say("there was more to hear than could be read; some events are lost")
            return
        self._heard.append(heard)
        self._wake_heard.set()

    def _time_for_strangers(self, now: float) -> bool:
        gained = (now - self._stranger_at) * STRANGERS_PER_SECOND
        self._strangers = min(STRANGERS_BURST, self._strangers + gained)
        self._stranger_at = now
        if self._strangers < 1.0:
            return False
        self._strangers -= 1.0
        return True

    # Small things.

    async def _list(self) -> list[RawMember]:
        """All members; what is news among them is heard."""
        if self._calls is None:
            raise Unavailable(f"the agent is away: {self._why}")
        try:
            found = await self._calls.members()
        except (OSError, Refused) as error:
            raise Unavailable(f"the agent does not answer: {_flat(str(error))}") from error
        self._news(self._roster.listed(found, self._now()))
        return found

    async def _ring(self, command: str, key: str) -> KeyReply:
        try:
            calls = await self._process.calls()
            try:
                reply = await calls.keys(command, key)
            finally:
                calls.close()
        except (OSError, Refused) as error:
            raise Failed(f"{command}: {_flat(str(error))}") from error
        if reply.num_err or reply.num_resp < reply.num_nodes:
            silent = reply.num_nodes - reply.num_resp
            said = "; ".join(f"{host}: {text}" for host, text in (reply.messages or {}).items())
            raise Failed(
                f"{command}: {reply.num_err} hosts refused and {silent} did not answer"
                + (f": {_flat(said)}" if said else ""),
                hint="see which hosts are away, and do it again",
            )
        return reply

    def _say(self, line: str) -> None:
        if self._once.new(line, self._now()):
            self._report(f"gossip: {line}")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def agent(folder: Path, settings: Settings, report: Report) -> Agent | None:
    """Gossip by an agent whose files are in a folder; None without serf on this host.

    It begins with `run`. `report` gets one line for each trouble.
    """
    found = program()
    if found is None:
        return None
    return Agent(Process(folder, found.path), settings, report, found.version)


async def forget(folder: Path) -> None:
    """End the agent of a folder, if there is one, and forget whom it knew: no cluster any more."""
    await Process(folder, Path("serf")).erase()


def _member(raw: RawMember) -> Member | None:
    address = plain_address(raw.addr)
    if address is None:
        return None
    return Member(raw.name, address, raw.port, raw.status == ALIVE)


def _flat(text: str) -> str:
    """An agent's words on one line."""
    return " ".join(text.replace("*", " ").split())[:500]
