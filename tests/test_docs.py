"""What the pages link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_cli import ROOT

PAGES = sorted(
    page for pattern in ("*.md", "docs/*.md", "snapshots/**/*.md", "examples/**/*.md") for page in ROOT.glob(pattern)
)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_enough_is_looked_at() -> None:
    assert len(PAGES) > 8
    assert "the-runs-that-ship" in anchors(ROOT / "docs/model.md")
