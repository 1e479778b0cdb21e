"""The documentation as a reader sees it: at the widths of a laptop and of a phone, opened as files, dark and light."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.cluster.tools import REPOSITORY
from tests.docs.browser import Browser
from tests.docs.site import WIDTHS

# Each element that sticks out of the window, apart from code, which scrolls in its box.
# A phone zooms out where something does, so the width is a parameter: WIDTH.
WIDER = """
[...document.querySelectorAll("header, nav, main, table, td, img, p, li, h1, h2, h3, #contents")]
  .filter((one) => !one.closest("pre") && one.getBoundingClientRect().right > WIDTH + 1)
  .map((one) => one.tagName + " " + one.textContent.slice(0, 60))
  .concat(document.scrollingElement.scrollWidth > WIDTH ? ["the page"] : [])
"""
COLOURS = """
(() => {
  const of = (one) => getComputedStyle(document.querySelector(one));
  return [of("body").backgroundColor, of("body").color, of("main a").color];
})()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` makes."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


def pages(site: Path) -> list[Path]:
    """Without the files of the tree that are shown."""
    return [page for page in sorted(site.rglob("*.html")) if page.relative_to(site).parts[0] != "source"]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(site: Path, browser: Browser, width: int) -> None:
    """No column of a table is off screen, on any page."""
    browser.resize(width)
    assert len(pages(site)) > 40
    wide = {}
    for page in pages(site):
        browser.open(page)
        if found := browser.run(WIDER.replace("WIDTH", str(width))):
            wide[page.relative_to(site).as_posix()] = found
    assert wide == {}, json.dumps(wide, indent=1)


def test_a_table_of_many_columns_is_a_list_on_a_phone(site: Path, browser: Browser) -> None:
    """Each value has its column's name before it."""
    browser.resize(390)
    browser.open(site / "performance.html")
    cell = "document.querySelectorAll('table.many tbody tr:first-child td')[1]"
    assert browser.run(f"getComputedStyle({cell}).display") == "block"
    assert browser.run(f"getComputedStyle({cell}, '::before').content") == '"unit: "'
    browser.resize(1280)
    assert browser.run(f"getComputedStyle({cell}).display") == "table-cell"


def test_search_works_from_files(site: Path, browser: Browser) -> None:
    """In a page of a folder, too; the first result leads to a page that has the words."""
    browser.resize(1280)
    browser.open(site / "runbooks/index.html")
    browser.run("query.value = 'HandlerAway lease'; show()")
    found = browser.run("[...document.querySelectorAll('#results a')].map((link) => link.href)")
    assert len(found) > 1
    first = Path(re.sub(r"^file://|#.*", "", found[0]))
    text = first.read_text().lower()
    assert "handleraway" in text
    assert "lease" in text
    browser.run("query.value = 'nosuchword'; show()")
    assert browser.run("results.textContent") == "No page has all of these words."


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_dark_where_the_reader_prefers_that(site: Path, browser: Browser, scheme: str, *, dark: bool) -> None:
    """And is easy to read both ways: the contrast that WCAG asks for."""
    browser.prefer(scheme)
    browser.open(site / "index.html")
    paper, ink, link = (luminance(colour) for colour in browser.run(COLOURS))
    assert (paper < ink) is dark
    assert contrast(paper, ink) >= 7.0
    assert contrast(paper, link) >= 4.5


def luminance(colour: str) -> float:
    """Relative, of `rgb(1, 2, 3)`, as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_the_navigation_is_folded_and_names_each_page_once(site: Path, browser: Browser) -> None:
    """Of its sections the one of the page that is shown is open."""
    browser.resize(1280)
    browser.open(site / "install.html")
    links = browser.run("[...document.querySelectorAll('nav a')].map((link) => link.href)")
    assert len(links) > 30
    assert len(links) == len(set(links))
    sections = browser.run("[...document.querySelectorAll('nav details')].map((one) => one.open)")
    assert sections.count(True) == 1
    assert browser.run("document.querySelector('nav [aria-current]').href") == (site / "install.html").as_uri()


def test_the_navigation_of_a_phone_opens_by_its_button(site: Path, browser: Browser) -> None:
    """Until then the text is all that is shown."""
    browser.resize(390)
    browser.open(site / "owner.html")
    shown = "document.getElementById('pages').getBoundingClientRect().height > 0"
    assert browser.run(shown) is False
    browser.run("document.getElementById('menu').click()")
    assert browser.run(shown) is True


def test_home_is_the_readme(site: Path, browser: Browser) -> None:
    """The page that opens first, and no second copy of it elsewhere."""
    browser.open(site / "index.html")
    title = (REPOSITORY / "README.md").read_text().splitlines()[0].removeprefix("# ")
    assert browser.run("document.querySelector('main h1').firstChild.textContent") == title
    assert not (site / "source/README.html").exists()


def test_every_page_is_linked_from_another(site: Path) -> None:
    """The navigation leaves out what an index page lists."""
    everything = {page.relative_to(site).as_posix() for page in pages(site)}
    linked = set()
    for page in pages(site):
        here = page.relative_to(site).parent.as_posix()
        targets = re.findall(r'href="([^"#:]+\.html)', page.read_text())
        linked |= {posixpath.normpath(posixpath.join(here, target)) for target in targets} - {
            page.relative_to(site).as_posix()
        }
    assert everything - linked == set()
