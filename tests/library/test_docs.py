"""What the pages say about the library is done as they say it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import fairlead
from tests.lab import Machine
from tests.library.test_parity import PAIRS, members

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str, heading: str) -> list[str]:
    """The programs below a heading of a page."""
    text = (ROOT / page).read_text()
    part = text[text.index(f"\n{heading}\n") :]
    level = heading.split(" ", maxsplit=1)[0]
    end = re.search(rf"\n#{{1,{len(level)}}} ", part[2:])
    return BLOCK.findall(part[: end.start() + 2] if end else part)


def run(machine: Machine, program: str) -> str:
    """What a program prints on a machine."""
    return machine.run([sys.executable, "-c", program]).stdout


@pytest.mark.root
def test_the_readme_s_example(machine: Machine) -> None:
    """Two namespaces, a network, a name, a published port, no container, no daemon."""
    (program,) = blocks("README.md", "## As a library")
    machine.run(["ip", "netns", "add", "b"])
    end = "\nserver.stdout.close(); server.kill(); server.wait()\n"

    assert run(machine, program + end).split() == ["200", "200"]
    left = 'import fairlead; print(*[b.name for b in fairlead.open("/run/mylab").sandboxes])'
    assert run(machine, left).split() == ["a", "b"]


@pytest.mark.root
def test_the_recipe_for_tests(machine: Machine) -> None:
    """The fixture works under pytest, and leaves nothing."""
    (program,) = blocks("docs/library.md", "### A network for tests")
    path = "/tmp/test_recipe.py"
    machine.path(path).write_text(program)

    done = machine.run([sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", path], timeout=120)

    assert "1 passed" in done.stdout
    assert not [line for line in machine.processes() if "fairlead" in line]


@pytest.mark.root
def test_the_other_recipes(machine: Machine) -> None:
    """A process of others, plans, and events."""
    (adopts,) = blocks("docs/library.md", "### A process of others")
    (plans,) = blocks("docs/library.md", "### What would happen")
    (listens,) = blocks("docs/library.md", "### Listen")

    assert run(machine, adopts + "\nvm.kill(); vm.wait(); vm.stdout.close()").split() == ["eth0"]
    assert "10.7.0.1/24" in run(machine, plans)
    assert run(machine, listens).split() == ["network", "create", "news"]


def test_every_name_is_in_the_reference() -> None:
    """What one can use is in the page, by its name."""
    text = (ROOT / "docs" / "library.md").read_text()
    for _, cls in PAIRS:
        for name, _ in members(cls):
            assert name.startswith("__") or name in text or name == "hear", f"{cls.__name__}.{name}"
    unsaid = [name for name in fairlead.__all__ if name.removeprefix("Async") not in text]
    assert set(unsaid) <= {"__version__", "Opening"}
