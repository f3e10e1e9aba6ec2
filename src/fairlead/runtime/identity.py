"""Who a program runs as: an image's USER against its /etc/passwd and /etc/group.

Pure; the texts come from the root file system as bytes somebody else wrote, so
a line that does not parse is skipped, never trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.model.errors import Failed

LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Numeric user and groups, and the user's home."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def identity(user: str, extra: Sequence[str], passwd: str, group: str) -> Identity:
    """Resolve ``name``, ``uid``, ``uid:gid`` or ``name:group`` and further groups."""
    who, _, primary = user.partition(":")
    uid, gid, home, name = _user(who or "0", passwd)
    groups: list[int] = []
    if primary:
        gid = _group(primary, group, f"unable to find group {primary}: no matching entries")
    elif name:
        groups = [number for _, number, members in _groups(group) if name in members]
    for wanted in extra:
        groups.append(_group(wanted, group, f"Unable to find group {wanted}"))
    return Identity(uid, gid, tuple(dict.fromkeys([gid, *groups])), home)


def _user(who: str, passwd: str) -> tuple[int, int, str, str]:
    for name, uid, gid, home in _users(passwd):
        if who in (name, str(uid)):
            return uid, gid, home or "/", name
    if not who.isdecimal():
        raise Failed(f"unable to find user {who}: no matching entries in passwd file")
    return _number(who), 0, "/", ""


def _group(wanted: str, group: str, complaint: str) -> int:
    for name, gid, _ in _groups(group):
        if wanted in (name, str(gid)):
            return gid
    if not wanted.isdecimal():
        where = " in group file" if complaint.endswith("entries") else ""
        raise Failed(complaint + where)
    return _number(wanted)


def _number(text: str) -> int:
    if len(text) > 10 or int(text) > LARGEST:
        raise Failed(f"uids and gids must be in range 0-{LARGEST}")
    return int(text)


def _users(passwd: str) -> Iterator[tuple[str, int, int, str]]:
    for line in passwd.splitlines():
        match line.split(":"):
            case [name, _, uid, gid, _, home, *_] if uid.isdecimal() and gid.isdecimal():
                yield name, int(uid), int(gid), home


def _groups(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for line in group.splitlines():
        match line.split(":"):
            case [name, _, gid, members, *_] if gid.isdecimal():
                yield name, int(gid), members.split(",")
