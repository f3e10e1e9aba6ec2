"""The question before something is lost."""

from __future__ import annotations

import sys


def confirmed(warning: str) -> bool:
    """Whether the user, asked, says yes."""
    sys.stdout.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
