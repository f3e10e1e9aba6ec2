"""The floors hold, and the test that says so can fail."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.floors import FLOOR_OF, breaches

SOURCE = Path(__file__).parent.parent / "src" / "fairlead"


def test_every_import_goes_down() -> None:
    """No package of fairlead imports from its own floor's neighbours or from above."""
    assert [str(breach) for breach in breaches(SOURCE)] == []


def test_every_package_has_a_floor() -> None:
    """The walk really saw the packages: a renamed tree cannot pass by being empty."""
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert {"model", "plan", "kernel"} <= packages <= FLOOR_OF.keys()


@pytest.mark.parametrize(
    ("file", "source", "why"),
    [
        ("plan/a.py", "from fairlead.kernel.linux import apply", "up to kernel"),
        ("plan/a.py", "import fairlead.kernel.linux", "up to kernel"),
        ("plan/a.py", "from fairlead import kernel", "up to kernel"),
        ("plan/a.py", "from ..kernel import linux", "up to kernel"),
        ("plan/a.py", "from .. import kernel", "up to kernel"),
        ("plan/a.py", "def f():\n    from fairlead.api import x", "up to api"),
        ("plan/deep/a.py", "from ...ipam import pool", "sideways to ipam"),
        ("kernel/a.py", "import fairlead.store.sqlite", "sideways to store"),
        ("engine/a.py", "from fairlead.cli.main import main", "up to cli"),
        ("dns/a.py", "async def f(): ...", "is pure"),
        ("dns/a.py", "async def f():\n    await g()", "is pure"),
        ("ipam/a.py", "async def f():\n    return [x async for x in g()]", "is pure"),
        ("model/a.py", "import msgspec", "not in the standard library"),
        ("model/a.py", "from click.core import Group", "not in the standard library"),
        ("util/a.py", "", "package util has no floor"),
        ("util.py", "", "has no floor"),
        ("__init__.py", "from fairlead.model import network", "the top package imports model"),
        (
            "__init__.py",
            "from fairlead.library.aio import aopen",
            "the top package imports library",
        ),
        (
            "__init__.py",
            "if TYPE_CHECKING:\n    from fairlead.model import network",
            "the top package imports model",
        ),
        ("library/a.py", "import fairlead.engine.engine", "sideways to engine"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, file: str, source: str, why: str) -> None:
    """Each way of breaking the rule is named, with the file it is in."""
    found = breaches(_tree(tmp_path, {file: source}))
    assert any(why in breach.why and breach.path == file for breach in found), found


def test_what_is_allowed_is_left_alone(tmp_path: Path) -> None:
    """Down, within one's own package, the standard library and third parties are all fine."""
    root = _tree(
        tmp_path,
        {
            "model/a.py": "import ipaddress\nfrom . import b\nfrom fairlead.model import c",
            "plan/a.py": "from fairlead.model.state import State\nfrom .diff import diff",
            "kernel/a.py": "import asyncio\nfrom fairlead.plan.diff import diff\n"
            "async def f(): await g()",
            "http/a.py": "import h11",
            "cli/a.py": "from fairlead import __version__\nfrom fairlead.api import routes",
            "__init__.py": "if TYPE_CHECKING:\n    from fairlead.library.aio import aopen",
            "__main__.py": "from fairlead.cli.main import main",
        },
    )
    assert breaches(root) == []


def _tree(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "fairlead"
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    return root
