"""No module names itself by way of others, be it in types alone; and the test can fail."""

from __future__ import annotations

import ast
from collections.abc import Container
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "fairlead"


def named(root: Path) -> dict[str, set[str]]:
    """Each module under a top package, and those that it names anywhere."""
    files = {_called(root, path): path for path in root.rglob("*.py")}
    return {module: _named(path, files.keys()) - {module} for module, path in files.items()}


def _called(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _named(path: Path, modules: Container[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names if each.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = (f"{node.module}.{each.name}" for each in node.names)
            found.update(each if each in modules else node.module for each in whole)
    return {each for each in found if each in modules}


def test_no_circle() -> None:
    """Whoever reads a module can read what it stands on first."""
    graph = named(SOURCE)
    assert len(graph["fairlead.controller.controller"]) > 5
    assert {*TopologicalSorter(graph).static_order()} == graph.keys()


@pytest.mark.parametrize(
    "source", ["from top import a", "from top.a import x", "if TYPE_CHECKING:\n    import top.a"]
)
def test_a_circle_is_found(tmp_path: Path, source: str) -> None:
    """However it is closed."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "__init__.py").write_text("")
    (top / "a.py").write_text("from top.b import y")
    (top / "b.py").write_text(source)
    with pytest.raises(CycleError):
        list(TopologicalSorter(named(top)).static_order())
