"""Where plugins are found, by name, as Docker finds them.

Sockets come first, then `.spec` (an address as text) and `.json` files, in each folder as
`NAME.ext` and `NAME/NAME.ext`. A name is looked for only if it can be that of a file in
there: one with slashes would lead elsewhere (as CVE-2021-20206 did).
"""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fairlead.http.rpc import Address
from fairlead.model.errors import Failed, Invalid, NotFound

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
MOST_BYTES = 65536
HTTP_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that are looked through."""

    sockets: Path = Path("/run/docker/plugins")
    specs: tuple[Path, ...] = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))


class TlsConfig(msgspec.Struct, rename="pascal"):
    """How a plugin of a `.json` file is spoken to."""

    insecure_skip_verify: bool | None = None
    ca_file: str | None = msgspec.field(default=None, name="CAFile")
    cert_file: str | None = None
    key_file: str | None = None


class Spec(msgspec.Struct):
    """A `.json` file."""

    Name: str | None = None
    Addr: str | None = None
    TLSConfig: TlsConfig | None = None


def checked(name: str) -> str:
    """The name, if a plugin can have it. Raises Invalid, or NotFound for one that is empty."""
    if not name:
        raise NotFound('plugin "" not found')
    if not NAME.fullmatch(name) or ".." in name:
        raise Invalid(
            f"invalid plugin name {name[:60]!r}",
            hint="names of plugins have letters, digits and _.:@- only",
        )
    return name


def find(places: Places, name: str) -> Address | None:
    """Where the plugin of that name listens; None when there is none. Blocks, but shortly."""
    checked(name)
    for path in _paths(places.sockets, name, ".sock"):
        if _is(path, stat.S_ISSOCK):
            return Address(path=str(path))
    for folder in places.specs:
        for ext, read in ((".spec", _spec), (".json", _json)):
            for path in _paths(folder, name, ext):
                if _is(path, stat.S_ISREG):
                    return read(path)
    return None


def names(places: Places) -> Iterator[str]:
    """The names of all that can be found."""
    for folder, exts in (
        (places.sockets, (".sock",)),
        *((f, (".spec", ".json")) for f in places.specs),
    ):
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            # Most hosts have none of these folders.
            continue
        for path in paths:
            inner = [path, *(path / f"{path.name}{ext}" for ext in exts)]
            for found in inner:
                kind = stat.S_ISSOCK if exts == (".sock",) else stat.S_ISREG
                if found.suffix in exts and NAME.fullmatch(found.stem) and _is(found, kind):
                    yield found.stem


def _paths(folder: Path, name: str, ext: str) -> tuple[Path, Path]:
    return folder / f"{name}{ext}", folder / name / f"{name}{ext}"


def _is(path: Path, kind: object) -> bool:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    assert callable(kind)
    return bool(kind(mode))


def _text(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise Failed(f"{path} is too long for the description of a plugin")
    return text


def _spec(path: Path) -> Address:
    return _address(path, _text(path).decode(errors="replace").strip(), None)


def _json(path: Path) -> Address:
    try:
        spec = msgspec.json.decode(_text(path), type=Spec)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Failed(f"{path} does not describe a plugin: {error}") from error
    return _address(path, spec.Addr or "", spec.TLSConfig)


def _address(path: Path, text: str, tls: TlsConfig | None) -> Address:
    """The address that a file says; TLS where it says so."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Failed(f"{path}: {text[:80]!r} is no address") from error
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return Address(path=parts.path)
    port = port or HTTP_PORTS.get(parts.scheme)
    if parts.scheme in ("tcp", "http", "https") and parts.hostname and port:
        secure = _context(path, tls) if tls is not None or parts.scheme == "https" else None
        return Address(host=parts.hostname, port=port, tls=secure)
    raise Failed(
        f"{path}: {text[:80]!r} is no address of a plugin",
        hint="write unix:///path/of.sock or tcp://host:port",
    )


def _context(path: Path, tls: TlsConfig | None) -> ssl.SSLContext:
    """As Docker: without an authority the other side is believed."""
    config = tls or TlsConfig()
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
        if config.insecure_skip_verify or not config.ca_file:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{path}: its TLS files cannot be used: {error}") from error
    return context
