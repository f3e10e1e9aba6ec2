"""Image references: what people write, and what it means. Pure.

``busybox`` is ``docker.io/library/busybox``. The first part is a registry only
if it looks like a host: it has a dot, a port or a capital, or is ``localhost``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from fairlead.model.errors import Invalid

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255

_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_DOMAIN = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository with a tag, a digest, both or neither."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository in full."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    @property
    def tagged(self) -> Reference:
        """The same with ``latest`` where neither tag nor digest was given."""
        if self.tag or self.digest:
            return self
        return Reference(self.domain, self.path, DEFAULT_TAG)

    @property
    def familiar(self) -> str:
        """The whole reference as people write it."""
        return self.familiar_name + self._suffix

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def on_loopback(self) -> bool:
        """Whether its registry is this host, where Docker asks for no certificate."""
        host = re.sub(r":\d+$", "", self.domain)
        return host in ("localhost", "[::1]") or re.fullmatch(r"127(\.\d+){3}", host) is not None

    def among(self, registries: Iterable[str]) -> bool:
        """Whether its registry is one of these: hosts, with or without a port, and subnets."""
        host = re.sub(r":\d+$", "", self.domain)
        return any(
            registry in (self.domain, host) or _within(host.strip("[]"), registry)
            for registry in registries
        )


def _within(host: str, subnet: str) -> bool:
    try:
        return "/" in subnet and ip_address(host) in ip_network(subnet, strict=False)
    except ValueError:
        return False


def parse(text: str) -> Reference:
    """Read a reference; Invalid with Docker's words when it is none."""
    if _ID.fullmatch(text):
        raise Invalid(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise Invalid("invalid reference format")
    domain, path = _split(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise Invalid("invalid reference format")
    if path != path.lower():
        raise Invalid(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path):
        raise Invalid("invalid reference format")
    if len(f"{domain}/{path}") > LONGEST_NAME:
        raise Invalid(
            f"invalid reference format: repository name must not be longer than "
            f"{LONGEST_NAME} characters"
        )
    return Reference(domain, path, tag, digest)


def _split(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = any(c in first for c in ".:") or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        domain, path = DEFAULT_DOMAIN, text
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path
