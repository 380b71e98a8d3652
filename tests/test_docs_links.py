"""Every link of the pages leads somewhere, and the index of docs/ names each of its pages."""

import re
from collections import Counter

import pytest

from tests.support.pages import PAGES, ROOT, prose

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def links(page):
    """Return where a page's links lead that stay in the repository."""
    return [to for to in LINK.findall(prose(page.read_text())) if not to.startswith(("http://", "https://"))]


def anchors(page):
    """Return what a link may name of a page after #, as GitHub makes it of the headings."""
    seen, found = Counter(), []
    for heading in re.findall(r"^#+ (.+)$", prose(page.read_text()), flags=re.MULTILINE):
        shown = LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.append(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(page, root=ROOT):
    """Return those of a page's links that lead nowhere below ``root``."""
    lost = []
    for to in links(page):
        path, _, anchor = to.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(root) or not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(to)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page):
    assert broken(page) == []


def test_a_link_to_no_file_and_one_to_no_heading_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One `code`, two\n[a](#one-code-two) [b](page.md#two) [c](none.md)\n```text\n[d](e)\n```\n")
    assert broken(page, tmp_path) == ["page.md#two", "none.md"]


def test_the_index_names_every_page():
    index = ROOT / "docs" / "README.md"
    named = {to.partition("#")[0] for to in links(index)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {index.name} <= named
    assert "decisions/" in named


def test_the_readme_leads_to_the_index():
    assert "docs/README.md" in links(ROOT / "README.md")
