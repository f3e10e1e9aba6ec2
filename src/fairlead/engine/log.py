"""structlog, without what it brings along for terminals.

It loads rich where that is installed, for tracebacks in colour. A daemon prints none: rich is a
tenth of the memory it needs when idle, and of the time it takes to start.
"""

from __future__ import annotations

import sys

_spared = "rich" not in sys.modules
if _spared:
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python says: not to be had
try:
    import structlog
finally:
    if _spared:
        del sys.modules["rich"]

__all__ = ["structlog"]
