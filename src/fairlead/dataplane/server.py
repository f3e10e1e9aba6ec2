"""The dataplane's end of the control socket.

Rule: daemons come and go, what they asked for stays. Requests are done one at
a time, whoever sends them; an error is an answer and never ends the process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.dataplane.channel import Channel
from fairlead.dataplane.service import Service, UnknownProxyError, UnknownSandboxError

if TYPE_CHECKING:
    import socket

log = logging.getLogger("dataplane")

# Containers that use all CPUs should not make each other wait for names and ports.
NICENESS = -5


def run(listener: socket.socket, path: Path) -> None:
    """Serve until told to stop."""
    # What is loaded by now stays; and what questions leave behind is in no circles, so to look
    # for those seldom is enough.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _come_first()
    asyncio.run(_serve(listener, path))


def _come_first() -> None:
    """Take precedence in our session, and for our session: the kernel may schedule by these."""
    sessions = Path("/proc/self/autogroup")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        if os.getsid(0) == os.getpid() and sessions.exists():
            sessions.write_text(str(NICENESS))
    except OSError as error:
        log.info("at the usual priority: %s", error)


async def _serve(listener: socket.socket, path: Path) -> None:
    service = Service()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, service.stopped.set)
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    turn = asyncio.Lock()
    clients: set[asyncio.Task[None]] = set()

    def accept() -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:
            log.warning("a daemon could not connect: %s", error)
            return
        client = loop.create_task(_attend(service, turn, Channel(sock)))
        clients.add(client)
        client.add_done_callback(clients.discard)

    loop.add_reader(listener, accept)
    log.info("serving %s as process %d", path, os.getpid())
    await service.stopped.wait()
    loop.remove_reader(listener)
    path.unlink(missing_ok=True)
    await service.close()
    for client in list(clients):
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    listener.close()
    log.info("stopped")


async def _attend(service: Service, turn: asyncio.Lock, channel: Channel) -> None:
    """Serve one daemon until it hangs up, which changes nothing for anybody else."""
    try:
        while (received := await channel.receive()) is not None:
            async with turn:
                reply = await _reply(service, *received)
            await channel.send(reply)
    except (OSError, ValueError) as error:
        log.warning("a daemon's connection broke: %s", error)
    finally:
        channel.close()


async def _reply(
    service: Service, request: dict[str, Any], descriptors: list[int]
) -> dict[str, Any]:
    try:
        return {"ok": await service.serve(request, descriptors)}
    except UnknownSandboxError as error:
        return {"error": f"no resolver for {error}", "unknown": True}
    except UnknownProxyError as error:
        return {"error": f"no proxy {error}", "unknown": True}
    except (OSError, ValueError) as error:
        log.warning("%s refused: %s", request.get("op"), error)
        return {"error": str(error)}
    except Exception as error:
        log.exception("%s failed", request.get("op"))
        return {"error": f"{type(error).__name__}: {error}"}
