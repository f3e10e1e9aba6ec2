"""firewalld, asked and told by D-Bus (firewalld.dbus(5)) which zone our bridges are in.

Asked afresh each time; only a connection to the bus is kept. It matters only if it looks after
the network namespace that the calling thread is in: a daemon in a namespace of its own, such
as a test, is none of its business. It is never started by being asked.

The zone and the policy that lets others in are made once, permanently, as Docker makes them;
a zone that is there is somebody's, and stays as it is. firewalld takes new ones in only by
reading all anew, which changes nothing for connections that are there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.kernel.errors import Refused
from fairlead.model.errors import Failed
from fairlead.model.step import Step
from fairlead.model.zone import ZONE, Member

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
BUS_SOCKET = Path("/run/dbus/system_bus_socket")
LEAVE = tuple(
    Path(folder, "dbus-1/system.d/FirewallD.conf") for folder in ("/usr/share", "/etc", "/usr/etc")
)
"""What lets firewalld have its name on the bus: without it there is none to be asked for."""
NAME = "org.fedoraproject.FirewallD1"
ROOT, CONFIG = "/org/fedoraproject/FirewallD1", "/org/fedoraproject/FirewallD1/config"
POLICY = "docker-forwarding"
LIMIT_SECONDS = 20.0
"""firewalld answers nobody while it starts or reads all anew, a few seconds on a busy host."""
BUS_LIMIT_SECONDS = 2.0
"""The bus itself is never busy for long."""
HINT = "look at `systemctl status firewalld`, or stop it"

NOBODY = ("NameHasNoOwner", "ServiceUnknown", "UnixProcessIdUnknown")
OLD = ("UnknownInterface", "UnknownMethod", "AccessDenied")
"""What one without policies (before 0.9) says when it is asked for them."""

ZONE_SIGNATURE = "s(sssbsasa(ss)asba(ssss)asasasasa(ss)b)"
ZONE_SETTINGS: tuple[Any, ...] = (
    "1.0", ZONE, "zone for docker bridge network interfaces", False, "ACCEPT",
    [], [], [], False, [], [], [], [], [], [], False,
)  # fmt: skip
"""Version, name, description, not used, target; services and all else that a zone may have."""
POLICY_SETTINGS = {
    "version": ("s", "1.0"),
    "description": ("s", "allow forwarding to the docker zone"),
    "ingress_zones": ("as", ["ANY"]),
    "egress_zones": ("as", [ZONE]),
    "target": ("s", "ACCEPT"),
}


class Firewalld:
    """firewalld on this host, if there is one."""

    def __init__(self) -> None:
        self._bus: DBusConnection | None = None

    def close(self) -> None:
        """Let go of the bus."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def judges(self) -> bool:
        """Whether it runs, and looks after the namespace that the thread is in."""
        if not BUS_SOCKET.exists() or not any(path.exists() for path in LEAVE):
            return False
        try:
            (pid,) = self._ask(
                "/org/freedesktop/DBus", BUS, "GetConnectionUnixProcessID", "s", NAME
            )
            theirs = os.readlink(f"/proc/{pid}/ns/net")
        except _Said as said:
            if said.name.rpartition(".")[2] in NOBODY:
                return False
            raise Failed(f"the system's D-Bus refuses: {said}") from said
        except OSError:
            # It ended meanwhile, or nobody listens at the bus's socket.
            return False
        return theirs == os.readlink("/proc/thread-self/ns/net")

    def zones(self) -> Mapping[str, str]:
        """The zone of each interface that is in one. Raises Failed."""
        with _told():
            (zones,) = self._ask(ROOT, f"{NAME}.zone", "getActiveZones")
        return {link: zone for zone, has in zones.items() for link in has.get("interfaces", ())}

    def take(self, steps: Sequence[Step]) -> None:
        """Bring interfaces into their zones, or out. Raises Refused."""
        done: list[Step] = []
        try:
            with _told():
                if not self.judges():
                    # It went, and all that it knew at run time.
                    return
                there = self.zones()
                if any(step.after is not None for step in steps):
                    self._prepare()
                for step in steps:
                    self._take(step, there)
                    done.append(step)
        except Failed as error:
            step = steps[len(done)]
            raise Refused(step, errno.EIO, tuple(done), str(error), error.hint) from error

    def _take(self, step: Step, there: Mapping[str, str]) -> None:
        member, zone = step.resource, f"{NAME}.zone"
        assert isinstance(member, Member)
        if step.after is not None:
            self._ask(ROOT, zone, "changeZoneOfInterface", "ss", member.zone, member.link)
        elif there.get(member.link) == member.zone:
            self._ask(ROOT, zone, "removeInterface", "ss", member.zone, member.link)

    def _prepare(self) -> None:
        """Let there be the zone, and a way into it from all others."""
        config, fresh = f"{NAME}.config", False
        (zones,) = self._ask(ROOT, f"{NAME}.zone", "getZones")
        if ZONE not in zones:
            (known,) = self._ask(CONFIG, config, "getZoneNames")
            if ZONE not in known:
                self._ask(CONFIG, config, "addZone", ZONE_SIGNATURE, ZONE, ZONE_SETTINGS)
            fresh = True
        try:
            (policies,) = self._ask(ROOT, f"{NAME}.policy", "getPolicies")
            if POLICY not in policies:
                (known,) = self._ask(CONFIG, config, "getPolicyNames")
                if POLICY not in known:
                    self._ask(CONFIG, config, "addPolicy", "sa{sv}", POLICY, POLICY_SETTINGS)
                fresh = True
        except _Said as said:
            if said.name.rpartition(".")[2] not in OLD:
                raise
        if fresh:
            self._ask(ROOT, NAME, "reload")

    def _ask(self, path: str, interface: str, method: str, signature: str = "", *body: Any) -> Any:
        """One call, and what it returns. Raises _Said, TimeoutError, OSError."""
        # Only hosts with firewalld are to pay for it.
        from jeepney import DBusAddress, HeaderFields, MessageFlag, MessageType, new_method_call

        to = DBusAddress(path, BUS if interface == BUS else NAME, interface)
        message = new_method_call(to, method, signature or None, body)
        message.header.flags |= MessageFlag.no_auto_start
        limit = BUS_LIMIT_SECONDS if interface == BUS else LIMIT_SECONDS
        try:
            answer = self._connected().send_and_get_reply(message, timeout=limit)
        except OSError:
            # What comes late would be taken for the next answer; a bus may come back, too.
            self.close()
            raise
        if answer.header.message_type is MessageType.error:
            name = str(answer.header.fields.get(HeaderFields.error_name, ""))
            raise _Said(name, str(answer.body[0]) if answer.body else name)
        return answer.body

    def _connected(self) -> DBusConnection:
        if self._bus is None:
            from jeepney.auth import AuthenticationError
            from jeepney.io.blocking import open_dbus_connection

            try:
                self._bus = open_dbus_connection("SYSTEM")
            except AuthenticationError as error:
                raise PermissionError(errno.EACCES, str(error)) from error
        return self._bus


class _Said(Exception):
    """An error that came back by D-Bus: its name, and its words."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong in the block is told as Failed."""
    try:
        yield
    except TimeoutError as error:
        raise Failed(f"firewalld does not answer for {LIMIT_SECONDS:g} s", hint=HINT) from error
    except _Said as said:
        raise Failed(f"firewalld refuses: {said}", hint=HINT) from said
    except OSError as error:
        raise Failed(f"firewalld cannot be asked: {error.strerror}", hint=HINT) from error
