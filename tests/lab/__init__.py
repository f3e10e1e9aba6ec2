"""Pretend machines for real tests: namespaces that look enough like a host to run a daemon in.

Nothing here touches the machine the tests run on: no interface, rule, route or sysctl of it,
and no file outside a private mount namespace except the caches named in `client`.
"""

from __future__ import annotations

from tests.lab.daemon import Daemon, DaemonFailed
from tests.lab.machine import CommandFailed, Machine
from tests.lab.switch import Switch

__all__ = ["CommandFailed", "Daemon", "DaemonFailed", "Machine", "Switch"]
