"""Who a program runs as."""

from __future__ import annotations

import pytest

from fairlead.model.errors import Failed
from fairlead.runtime.identity import Identity, identity

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment, and rubbish:
broken:x:y
app:x:1000:1001:App:/srv/app:/bin/sh
bare:x:1002:1002::
1234:x:7:8::/odd:
"""
GROUP = "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\naudio:x:29:app\n"


@pytest.mark.parametrize(
    ("user", "extra", "expected"),
    [
        ("", (), Identity(0, 0, (0, 10), "/root")),
        ("app", (), Identity(1000, 1001, (1001, 10, 29), "/srv/app")),
        ("1000", (), Identity(1000, 1001, (1001, 10, 29), "/srv/app")),
        ("app:audio", (), Identity(1000, 29, (29,), "/srv/app")),
        ("app:5", (), Identity(1000, 5, (5,), "/srv/app")),
        ("4242", (), Identity(4242, 0, (0,), "/")),
        ("4242:4243", (), Identity(4242, 4243, (4243,), "/")),
        ("bare", (), Identity(1002, 1002, (1002,), "/")),
        ("1234", (), Identity(7, 8, (8,), "/odd")),
        ("app", ("audio", "77"), Identity(1000, 1001, (1001, 10, 29, 77), "/srv/app")),
    ],
)
def test_users(user: str, extra: tuple[str, ...], expected: Identity) -> None:
    """Names before numbers; a group of one's own choice replaces those of the user."""
    assert identity(user, extra, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "extra", "said"),
    [
        ("ghost", (), "unable to find user ghost: no matching entries in passwd file"),
        ("app:ghosts", (), "unable to find group ghosts: no matching entries in group file"),
        ("app", ("ghosts",), "Unable to find group ghosts"),
        ("2147483648", (), "uids and gids must be in range 0-2147483647"),
        ("0:99999999999999999999", (), "uids and gids must be in range 0-2147483647"),
        ("-1", (), "unable to find user -1: no matching entries in passwd file"),
    ],
)
def test_nobody(user: str, extra: tuple[str, ...], said: str) -> None:
    """Who is not there is named in Docker's words."""
    with pytest.raises(Failed) as refused:
        identity(user, extra, PASSWD, GROUP)

    assert refused.value.message == said
