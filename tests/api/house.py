"""A daemon without a host: the real API, controller and engine on a kernel made of a dictionary.

What needs no running container is tested here, by real clients over a real socket.
"""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fairlead.api.api import Api
from fairlead.api.settings import Settings
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.start import Settings as NetworkSettings
from fairlead.controller.want import Host
from fairlead.dataplane.client import Dataplane
from fairlead.engine.engine import Engine
from fairlead.firewall.backends import firewall
from fairlead.kernel.fake import FakeKernel
from fairlead.model.marks import Marks
from fairlead.runtime.image import Images
from fairlead.runtime.oci import Oci
from fairlead.store.sqlite import Store
from tests.http.served import Served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fairlead.http.server import Request, Response

PATIENCE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What an error says; "" for none."""
        return str(self.json.get("message", "")) if self.status >= 400 else ""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("daemon", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


class House:
    """A daemon, started; `close` takes it down and leaves nothing."""

    def __init__(self, root: Path) -> None:
        self.socket = root / "docker.sock"
        self._api: Api | None = None
        self._served = Served(self.socket, self._handle, head_seconds=PATIENCE_SECONDS)
        self._dataplane = Dataplane(root / "dataplane.sock", root / "dataplane.log")
        try:
            self._served.call(self._build(root))
        except BaseException:
            self._served.call(self._dataplane.stop())
            self._served.stop()
            raise

    async def _build(self, root: Path) -> None:
        store = Store(root / "fairlead.db")
        marks = Marks("test")
        walls = firewall("iptables", marks)
        committer = Committer(store, FakeKernel(), self._dataplane, walls, Host())
        self.controller = Controller(committer, NetworkSettings(), root / "netns")
        await self.controller.start()
        images = Images(root / "images")
        oci = Oci(root / "oci")
        self.engine = Engine(self.controller, store, oci, images, root, root / "run")
        await self.engine.start()
        self._api = Api(self.engine, self.controller, Settings(id="test", data_root=root))

    async def _handle(self, request: Request) -> Response | None:
        assert self._api is not None
        try:
            return await self._api.handler(request)
        except Exception as error:  # noqa: BLE001 - this is where the server would ask, too
            return self._api.on_error(error)

    def close(self) -> None:
        """Stop everything that was started."""
        self._served.call(self._end())
        self._served.stop()

    async def _end(self) -> None:
        await self.engine.close()
        await self.controller.close()
        await self._dataplane.stop()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """One request; `body` is sent as JSON, `raw` as it is."""
        sent = raw if body is None else json.dumps(body).encode()
        given = {} if sent is None else {"Content-Type": "application/json"}
        target = path if "?" in path else quote(path) + ("?" + urlencode(query) if query else "")
        connection = _Connection(self.socket)
        try:
            connection.request(method, target, sent, {**given, **(headers or {})})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())
        finally:
            connection.close()
