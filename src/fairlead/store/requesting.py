"""The session that etcd3gw and py-consul send their requests with.

They leave open whether a server was reached when something goes wrong, and wait without end;
and requests looks for proxies and certificates in the environment, which are not meant here.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from fairlead.store.servers import Broken, Unreached
from fairlead.store.threads import MOST
from fairlead.store.tls import Files


class Session(requests.Session):
    """Sends to one server, within a time, and says what became of it."""

    def __init__(self, files: Files | None, limit_seconds: float) -> None:
        super().__init__()
        self.limit_seconds = limit_seconds
        self.trust_env = False
        self.mount("http://", HTTPAdapter(pool_maxsize=MOST))
        self.mount("https://", HTTPAdapter(pool_maxsize=MOST))
        if files is not None:
            self.verify = files.authority or True
            self.cert = (files.certificate, files.key) if files.certificate else None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one. Raises Unreached or Broken, for an error of the server as well."""
        kwargs["timeout"] = self.limit_seconds
        # Which certificates count is ours to say, not the library's.
        kwargs.pop("verify", None)
        kwargs.pop("cert", None)
        try:
            response = super().request(*args, **kwargs)
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise Unreached(_words(error)) from error
        except requests.ConnectionError as error:
            raise (Unreached if _unsent(error) else Broken)(_words(error)) from error
        except requests.RequestException as error:
            raise Broken(_words(error)) from error
        if response.status_code >= 500:
            raise Broken(response.text.strip()[:200] or f"status {response.status_code}")
        return response


def _unsent(error: requests.ConnectionError) -> bool:
    """Whether a server was not even connected to."""
    why = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(why, NewConnectionError | ConnectTimeoutError)


def _words(error: Exception) -> str:
    """The innermost reason, which is the one that says something to people."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
