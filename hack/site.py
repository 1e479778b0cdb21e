"""Hooks of mkdocs (mkdocs.yml): what a reader on GitHub gets for nothing, pages built from docs/ get here.

README.md is the home page. Pages link to files of this tree. The site has them too, below source/: Markdown as a page,
anything else as a page that shows it. A link to a folder becomes its text. So every relative link is checked, and the
site is whole by itself. Pages that mkdocs.yml does not name are listed after those that it does, but for those of a
folder whose index page is named: that page lists them.
"""

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.site")

_ROOT = Path(__file__).resolve().parents[1]
_README, _HOME = "README.md", "index.md"
_PICTURES = (".png", ".svg", ".jpg", ".gif")
_LINK = re.compile(r"\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")
_FOLDER_LINK = re.compile(r"\[([^\]]*)\]\(FOLDER\)")
_FENCE = re.compile(r"^ *(```|~~~)")
_ASSET = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"'](?:https?:)?//[^\"']*", re.IGNORECASE
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages that the navigation does not name."""
    assert config.nav is not None
    docs = Path(config.docs_dir)
    known = set(_named(config.nav))
    folders: dict[str, list[str]] = {}
    for page in sorted(docs.rglob("*.md")):
        name = page.relative_to(docs).as_posix()
        folder = posixpath.dirname(name)
        if name not in known and not (folder and f"{folder}/index.md" in known):
            folders.setdefault(posixpath.dirname(name), []).append(name)
    for folder, pages in folders.items():
        config.nav.append({folder.capitalize() or "More": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of this tree that pages link to, and those that these link to."""
    waiting = [("docs/" + file.src_uri, file.content_string) for file in files.documentation_pages()]
    waiting += [("", "".join(f"[]({name})" for name in config.extra["tree"]))]
    added: set[str] = set()
    if not files.get_file_from_path(_HOME):
        readme = (_ROOT / _README).read_text()
        files.append(File.generated(config, _HOME, content=readme))
        waiting.append((_README, readme))
    while waiting:
        for path in _linked(*waiting.pop()):
            if path in added or path == _README or path.startswith("docs/") or not (_ROOT / path).is_file():
                continue
            added.add(path)
            if path.endswith(_PICTURES):
                files.append(File.generated(config, _site_path(path), abs_src_path=str(_ROOT / path)))
                continue
            text = (_ROOT / path).read_text()
            files.append(File.generated(config, _site_path(path), content=_as_page(path, text)))
            if path.endswith(".md"):
                waiting.append((path, text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs calls it so
    """Turn links to files of this tree into links to where the site has them."""
    is_readme = page.file.src_uri == _HOME and page.file.abs_src_path is None
    source = _README if is_readme else _tree_path(page.file.src_uri)
    if not source.endswith(".md"):
        return markdown
    return "".join(
        line if code else _FOLDER_LINK.sub(r"\1", _LINK.sub(lambda link: _rewritten(link, source), line))
        for line, code in _lines(markdown)
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Warn about a page that loads a file from another site, which would learn who reads it and needs a network."""
    for page in Path(config.site_dir).rglob("*.html"):
        for asset in _ASSET.findall(page.read_text()):
            log.warning("%s loads a file from another site: %s", page.name, asset)


# --- links ------------------------------------------------------------------------------------------------------------


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        found = _FENCE.match(line)
        yield line, bool(fence or found)
        if found and not fence:
            fence = found[1]
        elif found and found[1] == fence:
            fence = ""


def _linked(path: str, markdown: str) -> Iterator[str]:
    """The paths in this tree that a page links to."""
    for line, code in _lines(markdown):
        for target, _ in () if code else _LINK.findall(line):
            if resolved := _resolved(path, target):
                yield resolved


def _resolved(path: str, target: str) -> str | None:
    """Where a link of the page at `path` leads in this tree; None where it leads elsewhere."""
    if re.match(r"[a-z]+:|/", target):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _rewritten(link: re.Match[str], source: str) -> str:
    path = _resolved(source, link[1])
    if path is None:
        return link[0]
    if (_ROOT / path).is_dir():
        return "](FOLDER)"
    if not (_ROOT / path).is_file():
        return link[0]  # mkdocs says that it leads nowhere
    here = posixpath.dirname(_site_path(source))
    return f"]({posixpath.relpath(_site_path(path), here or '.')}{link[2]})"


def _site_path(path: str) -> str:
    """Where the site has a file of this tree."""
    if path == _README:
        return _HOME
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}" + ("" if path.endswith((".md", *_PICTURES)) else ".md")


def _tree_path(site_path: str) -> str:
    """The reverse."""
    if not site_path.startswith("source/"):
        return f"docs/{site_path}"
    path = site_path.removeprefix("source/")
    return path if (_ROOT / path).is_file() else path.removesuffix(".md")


def _as_page(path: str, text: str) -> str:
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````````text\n{text}\n````````\n"


# --- navigation -------------------------------------------------------------------------------------------------------


def _named(nav: Any) -> Iterator[str]:
    """All pages in a navigation tree."""
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(item)
