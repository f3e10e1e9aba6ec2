"""A host that allows only so many network namespaces: refused in words, with nothing left.

The limit belongs to a user namespace, so the test makes one: the host's own stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import pathlib, sys
from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.marks import Marks
from fairlead.model.state import Namespace, Scope
from fairlead.model.step import Step

pathlib.Path("/proc/sys/user/max_net_namespaces").write_text("2")
folder = pathlib.Path(sys.argv[1])
kernel = LinuxKernel(folder, Marks("c0ffee00"))
taken = []
try:
    for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"):
        kernel.apply([Step(None, Namespace(name))])
        taken.append(name)
except Refused as refused:
    print(refused.message, "|", refused.hint)
print(sorted(path.name for path in folder.iterdir()) == taken == kernel.namespaces.names())
"""


@pytest.mark.root
def test_no_more_namespaces(tmp_path: Path) -> None:
    """The refusal names what was to be made and the limit; no file is left of it."""
    words = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--fork"]
    done = subprocess.run(
        [*words, sys.executable, "-c", PROGRAM, tmp_path],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    refusal, clean = done.stdout.splitlines()
    assert "no space left on device" in refusal
    assert "max_net_namespaces" in refusal
    assert clean == "True"
