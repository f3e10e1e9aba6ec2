"""fairlead: container networks in Python, spoken to through the Docker Engine API."""

from __future__ import annotations

__version__ = "0.1.0"
