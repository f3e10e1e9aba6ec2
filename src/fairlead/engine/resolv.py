"""The host's resolv.conf, as what containers inherit: read when it is needed, never kept."""

from __future__ import annotations

from pathlib import Path

from fairlead.dns import files

RESOLV_CONF = Path("/etc/resolv.conf")
# Where systemd-resolved keeps the servers that hide behind its stub.
RESOLVED = Path("/run/systemd/resolve/resolv.conf")
STUB = "127.0.0.53"


def source() -> Path:
    """The file that names the servers themselves."""
    servers = files.parse_resolv(text(RESOLV_CONF))[0].servers
    return RESOLVED if servers == (STUB,) and RESOLVED.exists() else RESOLV_CONF


def options() -> tuple[str, ...]:
    """Its options: who sets ndots there has set it for containers, too."""
    return files.parse_resolv(text(source()))[0].options


def text(path: Path) -> str:
    """A file of the host's; nothing if there is none."""
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
