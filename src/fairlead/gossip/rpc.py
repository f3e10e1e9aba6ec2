"""serf's RPC: msgpack over TCP to an agent on this host.

::

    us     {Command, Seq}  {…}      handshake, auth, then commands; each with a body or without
    agent  {Seq, Error}    {…}      the answer, with a body if the command has one
    agent  {Seq, Error}    {…}      events, with the number of the command that asked for them

An agent takes the commands of one connection in turn, and a `join` may take it seconds. So
there are connections for asking, in turn as well (`Calls`), and one that listens (`Listening`),
on which queries are answered, too, because an agent knows them by connection.

Rule: whatever listens on the port may be no agent at all. What does not read as it should ends
the connection with `Broken`, and no answer is waited for longer than its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import msgspec

from fairlead.gossip.wire import end

VERSION = 1
LARGEST_BYTES = 8 << 20
CHUNK_BYTES = 1 << 16
CONNECT_SECONDS = 5.0
REPLY_SECONDS = 10.0
CLUSTER_SECONDS = 60.0
"""For what an agent asks of others."""

Body = TypeVar("Body")


class Broken(ConnectionError):
    """The connection is of no use any more."""


class Refused(Exception):
    """The agent says no; the text is its own."""


class Head(msgspec.Struct, rename="pascal"):
    """What comes before each body."""

    seq: int
    error: str = ""


class RawMember(msgspec.Struct, rename="pascal"):
    """A member as an agent lists it."""

    name: str
    addr: bytes
    port: int
    status: str = ""


class RawMembers(msgspec.Struct, rename="pascal"):
    """The answer to `members`."""

    members: list[RawMember]


class Joined(msgspec.Struct, rename="pascal"):
    """The answer to `join`: how many were reached."""

    num: int


class KeyReply(msgspec.Struct, rename="pascal"):
    """The answer to a command about keys: how many hold which, and who objects."""

    num_nodes: int = 0
    num_err: int = 0
    num_resp: int = 0
    messages: dict[str, str] | None = None
    keys: dict[str, int] | None = None


class Record(msgspec.Struct, rename="pascal"):
    """What a listening connection is told: members, a user event, a query, or a line of log."""

    event: str = ""
    members: list[RawMember] = []
    l_time: int = msgspec.field(default=0, name="LTime")
    id: int = msgspec.field(default=0, name="ID")
    name: str = ""
    payload: bytes | None = None
    log: str = ""


class Connection:
    """One connection that has said hello."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._data = bytearray()
        self._seq = 0
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, port: int, auth: str) -> Self:
        """Connect, shake hands, authenticate. Raises OSError, Broken or Refused."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except TimeoutError:
            raise Broken("no connection in time") from None
        made = cls(reader, writer)
        try:
            await made._hello({"Version": VERSION}, "handshake")
            await made._hello({"AuthKey": auth}, "auth")
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _hello(self, body: Mapping[str, Any], command: str) -> None:
        seq = await self.send(command, body)
        async with _within(REPLY_SECONDS):
            head = await self.receive(Head)
        if head.seq != seq:
            raise Broken("an answer to another command")
        if head.error:
            raise Refused(head.error)

    async def send(self, command: str, body: Mapping[str, Any] | None = None) -> int:
        """Send a command and return its number."""
        self._seq += 1
        words = msgspec.msgpack.encode({"Command": command, "Seq": self._seq})
        if body is not None:
            words += msgspec.msgpack.encode(body)
        if self._writer.is_closing():
            raise Broken("the connection is closed")
        self._writer.write(words)
        async with _within(REPLY_SECONDS):
            try:
                await self._writer.drain()
            except ConnectionError as error:
                raise Broken(f"it hung up: {error.strerror}") from None
        return self._seq

    async def receive(self, kind: type[Body]) -> Body:
        """The next value, which must be of this kind."""
        while True:
            try:
                length = end(self._data)
            except ValueError as error:
                raise Broken(str(error)) from None
            if length is not None:
                break
            if len(self._data) > LARGEST_BYTES:
                raise Broken(f"a message of more than {LARGEST_BYTES} bytes")
            try:
                chunk = await self._reader.read(CHUNK_BYTES)
            except ConnectionError as error:
                raise Broken(f"it hung up: {error.strerror}") from None
            if not chunk:
                raise Broken("it hung up")
            self._data += chunk
        value = bytes(self._data[:length])
        del self._data[:length]
        try:
            return msgspec.msgpack.decode(value, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Broken(f"unexpected: {error}") from None


class Calls(Connection):
    """A connection for asking: one question, one answer, in turn."""

    async def event(self, name: str, payload: bytes) -> None:
        """Tell all members, at once: what is coalesced waits a second at each of them."""
        await self._tell("event", {"Name": name, "Payload": payload, "Coalesce": False})

    async def members(self) -> list[RawMember]:
        """All that the agent knows of, itself and the dead included."""
        return (await self._ask("members", None, RawMembers)).members

    async def join(self, addresses: Sequence[str]) -> int:
        """Meet the agents at these addresses; how many were reached. Refused if none was."""
        body = {"Existing": list(addresses), "Replay": False}
        return (await self._ask("join", body, Joined, CLUSTER_SECONDS)).num

    async def stats(self) -> dict[str, dict[str, str]]:
        """What the agent says of itself."""
        return await self._ask("stats", None, dict[str, dict[str, str]])

    async def keys(self, command: str, key: str = "") -> KeyReply:
        """`install-key`, `use-key`, `remove-key`, or `list-keys`, which takes none."""
        body = {"Key": key} if key else None
        return await self._ask(command, body, KeyReply, CLUSTER_SECONDS)

    async def leave(self) -> None:
        """Say good-bye to all and end the agent."""
        await self._tell("leave", None)

    async def _tell(self, command: str, body: Mapping[str, Any] | None) -> None:
        head, _ = await self._exchange(command, body, None, REPLY_SECONDS)
        if head.error:
            raise Refused(head.error)

    async def _ask(
        self,
        command: str,
        body: Mapping[str, Any] | None,
        kind: type[Body],
        seconds: float = REPLY_SECONDS,
    ) -> Body:
        head, found = await self._exchange(command, body, kind, seconds)
        if head.error or found is None:
            raise Refused(head.error)
        return found

    async def _exchange(
        self,
        command: str,
        body: Mapping[str, Any] | None,
        kind: type[Body] | None,
        seconds: float,
    ) -> tuple[Head, Body | None]:
        async with self._turn:
            try:
                seq = await self.send(command, body)
                async with _within(seconds):
                    head = await self.receive(Head)
                    if head.seq != seq:
                        raise Broken("an answer to another command")
                    # Commands that have a body have it beside an error as well.
                    return head, None if kind is None else await self.receive(kind)
            except BaseException:
                # The answer may still come, and would be taken for that to the next question.
                self.close()
                raise


class Listening(Connection):
    """A connection that is told of events and queries, and on which queries are answered."""

    async def records(self, events: str, log_level: str) -> AsyncIterator[Record]:
        """What happens, from now on. Ends with Broken, or with Refused."""
        stream = await self.send("stream", {"Type": events})
        monitor = await self.send("monitor", {"LogLevel": log_level})
        begun: set[int] = set()
        while True:
            head = await self.receive(Head)
            if head.seq in (stream, monitor) and head.seq not in begun:
                if head.error:
                    raise Refused(head.error)
                begun.add(head.seq)
            elif head.seq in begun:
                yield await self.receive(Record)
            # Else it is about an answer of ours. If it came too late nobody waits for it.

    async def respond(self, id: int, payload: bytes) -> None:
        """Answer a query that came on this connection."""
        await self.send("respond", {"ID": id, "Payload": payload})


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """A limit whose end is the end of the connection."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Broken("no answer in time") from None
