"""What `mkdocs build --strict` refuses, and what it makes of links to files of the tree (hack/site.py)."""

from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parents[3]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Pages to be built: an index, and another one with a heading."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "index.md").write_text("# Index\n")
    (folder / "other.md").write_text("# Other\n\n## A heading\n")
    return folder


def _build(docs: Path, index: str) -> Path:
    """The site of an index with this text."""
    (docs / "index.md").write_text(f"# Index\n\n{index}\n")
    site = docs.parent / "site"
    folders = {"docs_dir": str(docs), "site_dir": str(site)}
    nav = [{"Index": "index.md"}]
    build(load_config(str(ROOT / "mkdocs.yml"), **folders, nav=nav, extra={"tree": []}, strict=True))
    return site


def test_a_link_that_leads_nowhere_is_refused(docs: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And so is what a reader's browser would have to fetch from elsewhere."""
    text = """
[a page](nowhere.md) [a heading](other.md#nothing) [a file of the tree](../hack/missing.sh)
[a heading in the tree](../CHANGELOG.md#never) [an absolute path](/root) ![a picture](https://example.org/picture.png)
"""
    with pytest.raises(Abort):
        _build(docs, text)
    told = [record.getMessage() for record in caplog.records]
    for lost in ("'nowhere.md'", "#nothing", "hack/missing.sh", "CHANGELOG.md#never", "/root", "org/picture.png"):
        assert [message for message in told if lost in message], lost


def test_files_of_the_tree_become_pages(docs: Path) -> None:
    """A script is shown, Markdown is a page, a folder is its name; code is left as it is."""
    for page in (ROOT / "docs").glob("*.md"):  # the changelog links to some of them
        (docs / page.name).write_text("# A page\n")
    text = "[s](../hack/lint.sh) [r](../CHANGELOG.md#changelog) [f](../hack)\n\n```\n[x](../nowhere)\n```\n"
    site = _build(docs, text)
    index = (site / "index.html").read_text()
    assert 'href="source/hack/lint.sh.html"' in index
    assert 'href="source/CHANGELOG.html#changelog"' in index
    assert "[x](../nowhere)" in index
    assert "mkdocs build" in (site / "source/hack/lint.sh.html").read_text()


def test_a_page_that_nobody_listed_is_in_the_navigation(docs: Path) -> None:
    """Below its folder's name, or at the end."""
    (docs / "runbooks").mkdir()
    (docs / "runbooks/down.md").write_text("# Down\n")
    index = (_build(docs, "").joinpath("index.html")).read_text()
    assert 'href="other.html"' in index
    assert 'href="runbooks/down.html"' in index
    assert "Runbooks" in index
