"""What plugins answer, whatever it is: values that can be, or one clear refusal."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.controller import facts
from fairlead.controller.plugins import places, wire
from fairlead.controller.plugins.network import RemoteDriver
from fairlead.controller.plugins.places import Places
from fairlead.controller.plugins.plugin import HASTY, Plugin
from fairlead.http.rpc import Address, Answer
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import FairleadError, Invalid, NotFound
from fairlead.model.network import Network, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change, World

NET = Network("n" * 64, "red", "village", 1, pools=(Pool(ip_network("10.9.0.0/24")),), remote=True)
BOX = Sandbox("b" * 64, "c" * 64, "web", "web")
EP = Endpoint("e" * 64, NET.id, BOX.id, "", "eth0", "", (ip_interface("10.9.0.2/24"),))

WORDS = st.sampled_from(
    ["", "eth0", "lo", "../x", "a/b", "10.9.0.2/24", "10.9.0.9", "0.0.0.0/0", "::1", "fe80::1",
     "169.254.1.1", "224.0.0.1", "02:42:0a:09:00:02", "ff:ff:ff:ff:ff:ff", "x" * 40, "\x00", "ü"]
)  # fmt: skip
ROUTES = st.fixed_dictionaries(
    {}, optional={"Destination": WORDS, "RouteType": st.integers(-1, 3), "NextHop": WORDS}
)
JOINS = st.fixed_dictionaries(
    {},
    optional={
        "InterfaceName": st.none()
        | st.fixed_dictionaries({}, optional={"SrcName": WORDS, "DstPrefix": WORDS}),
        "Gateway": WORDS,
        "GatewayIPv6": WORDS,
        "StaticRoutes": st.none() | st.lists(ROUTES, max_size=4),
        "DisableGatewayService": st.booleans() | st.none(),
        "Err": st.sampled_from(["", "no\nway"]),
    },
)
ENDS = st.fixed_dictionaries(
    {},
    optional={
        "Interface": st.none()
        | st.fixed_dictionaries(
            {}, optional={"Address": WORDS, "AddressIPv6": WORDS, "MacAddress": WORDS}
        )
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@dataclass(slots=True)
class Scripted(Plugin):
    """A plugin whose answers are known before."""

    said: dict[str, bytes] | None = None

    async def _post(self, call: str, raw: bytes, patience: object) -> Any:
        return Answer(200, (self.said or {}).get(call, b"{}"))


def _join(end: object, join: object) -> Endpoint | None:
    """The endpoint that two answers lead to; None if they are refused in one line."""
    said = {
        "NetworkDriver.CreateEndpoint": json.dumps(end).encode(),
        "NetworkDriver.Join": json.dumps(join).encode(),
    }
    driver = RemoteDriver(Scripted("village", Address("/nowhere"), said=said), HASTY)
    world = World().after(Change(put=(NET, BOX, EP)))
    found: Endpoint | None
    try:
        found = asyncio.run(driver.join(NET, BOX, EP, Path("/run/netns/b"), ()))
        facts.check_endpoint(world, NET, found)
    except FairleadError as error:
        found, refusal = None, error.message
    else:
        refusal = ""
    assert refusal.isprintable()
    return found


@given(ENDS, JOINS)
def test_an_answer_is_true_or_refused(end: object, join: object) -> None:
    """What comes of it has names and addresses that can be, and only what others left open."""
    found = _join(end, join)
    if found is None:
        return
    assert found.addresses[0] == EP.addresses[0]
    assert "/" not in found.source
    assert found.source != ".."
    assert len(found.source) <= 15
    assert found.cable is bool(found.source)
    for gateway in found.gateways:
        assert not gateway.is_multicast
        assert not gateway.is_loopback
    assert found.mac != "ff:ff:ff:ff:ff:ff"


@given(ANYTHING, ANYTHING)
def test_rubbish_is_refused_or_says_nothing(end: object, join: object) -> None:
    """It never is an error of ours."""
    _join(end, join)


@given(st.binary(max_size=200))
def test_bytes_are_refused_or_say_nothing(body: bytes) -> None:
    """Also those that are no text."""
    try:
        said = wire.read("plugin village", "NetworkDriver.Join", body, wire.Joined)
    except facts.Lie:
        return
    assert said == wire.Joined() or body.strip().startswith(b"{")


@pytest.mark.parametrize(
    "name", ["a/b", "../a", "..", ".a", "a\0b", "-a", "a b", "ä", "x" * 129, "a..b"]
)
def test_names_that_no_plugin_has(tmp_path: Path, name: str) -> None:
    """Are refused before a file is touched."""
    with pytest.raises(Invalid):
        places.find(Places(tmp_path, (tmp_path,)), name)


def test_files_of_plugins(tmp_path: Path) -> None:
    """Both forms of both kinds; what is no address is told, with the file's name."""
    where = Places(tmp_path / "run", (tmp_path / "etc",))
    (tmp_path / "etc" / "deep").mkdir(parents=True)
    (tmp_path / "etc" / "one.spec").write_text("tcp://192.0.2.7:7000\n")
    (tmp_path / "etc" / "deep" / "deep.json").write_text('{"Addr": "unix:///run/deep.sock"}')
    assert places.find(where, "one") == Address(host="192.0.2.7", port=7000)
    assert places.find(where, "deep") == Address(path="/run/deep.sock")
    assert places.find(where, "other") is None
    assert set(places.names(where)) == {"one", "deep"}
    with pytest.raises(NotFound):
        places.find(where, "")
    for text in ("", "here", "ftp://x", "tcp://x:y", "unix://relative", "file:///etc/passwd"):
        (tmp_path / "etc" / "bad.spec").write_text(text)
        with pytest.raises(FairleadError, match=r"bad\.spec"):
            places.find(where, "bad")
    (tmp_path / "etc" / "bad.spec").unlink()
    (tmp_path / "etc" / "bad.json").write_text("[1]")
    with pytest.raises(FairleadError, match=r"bad\.json does not describe a plugin"):
        places.find(where, "bad")
