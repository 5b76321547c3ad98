"""Pages lead to places that exist, and their configurations are accepted."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from spoolsink.config import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = ("benchmarks", "deploy", "docs", "spoolsink", "tests", "tools")
PLACE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./@-]+)`")


def anchors_of(text: str) -> set[str]:
    """As the site and the usual viewers make them of headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", word) for word in words}


def broken_links(page: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors_of(path.read_text() if name else text):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page, page.read_text())) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_place_of_the_repository_that_is_named_exists(page: Path) -> None:
    places = PLACE.findall(page.read_text())
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        text := "# A heading\n[a](gone.md) [b](#a-heading) [c](#other) [d](https://example.org)\n"
    )
    assert list(broken_links(page, text)) == ["gone.md: no such file", "#other: no such heading"]


def test_the_site_has_every_page_and_no_other() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    docs = ROOT / "docs"
    found = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    assert listed == found, "`nav` in mkdocs.yml lists the pages"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_whole_configuration_of_a_page_is_accepted(page: Path, tmp_path: Path) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        if {"name", "kafka", "s3"} <= set(yaml.safe_load(text)):
            path = tmp_path / "spoolsink.yaml"
            path.write_text(text)
            load(path, environ)
