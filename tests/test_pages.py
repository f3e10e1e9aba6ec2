"""The pages hang together: no link leads nowhere, and whoever begins at README.md finds them all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BEGINNINGS = ("README.md", "docs/architecture.md")
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "bench")
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each relative link of a page: as it stands there, the file, and the heading in it."""
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if "://" not in link:
            path, _, heading = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, heading


def headings(page: Path) -> set[str]:
    """What can be linked to in a page."""
    found = HEADING.findall(CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To files and folders that exist, and headings that are in them."""
    for link, path, heading in links(page):
        assert path.exists(), f"{link} leads nowhere"
        assert not heading or heading in headings(path), f"{link}: no such heading"


def test_no_page_is_alone() -> None:
    """Each is linked from a page where people begin; a folder stands for its pages."""
    linked = {path for page in BEGINNINGS for _, path, _ in links(ROOT / page)}
    alone = {page for page in PAGES if not {page, page.parent} & linked}
    assert alone <= {ROOT / name for name in BEGINNINGS}
