"""Hook of mkdocs: turns the search plugin's index into a script.

A browser refuses to fetch a file from a page that was itself opened as a file, but loads a script from there. So the
search of dist/docs works without a server.
"""

import json
import re
from html import unescape
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

_ROOT = Path(__file__).resolve().parents[1]


def on_post_build(config: MkDocsConfig) -> None:
    """Replace search/search_index.json by search/index.js."""
    folder = Path(config.site_dir) / "search"
    index = folder / "search_index.json"
    sections = [
        {"location": one["location"], "title": unescape(one["title"]), "text": _plain(one["text"])}
        for one in json.loads(index.read_text())["docs"]
        if one["text"] and not _is_code(one["location"])
    ]
    (folder / "index.js").write_text(f"const searchIndex = {json.dumps(sections)};\n")
    index.unlink()


def _is_code(location: str) -> bool:
    """Return whether this is a file of the tree that is not Markdown. It is shown, and search does not find it."""
    path = location.partition("#")[0]
    return path.startswith("source/") and not (_ROOT / path.removeprefix("source/")).with_suffix(".md").is_file()


def _plain(html: str) -> str:
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html))).strip()
    return text.replace(" # ", ": ")  # the link at the end of a heading
