"""Hook of mkdocs: gives each cell the name of its column, so that a narrow screen can show a wide table as a list."""

import re
from html import escape, unescape
from itertools import count
from typing import Any, Final

#: Two columns of words fit on a phone.
_MANY: Final = 3
_TABLE: Final = re.compile(r"<table>.*?</table>", re.DOTALL)
_HEADING: Final = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
_ROW: Final = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL: Final = re.compile(r"<td\b")


def on_page_content(html: str, **_: Any) -> str:
    """Label the cells of each table that has many columns. Markdown's tables are not nested."""
    return _TABLE.sub(lambda table: _labelled(table[0]), html)


def _labelled(table: str) -> str:
    names = [escape(unescape(re.sub(r"<[^>]*>", "", heading))) for heading in _HEADING.findall(table)]
    if len(names) < _MANY:
        return table
    return _ROW.sub(lambda row: _labelled_row(row[0], names), table.replace("<table>", '<table class="many">', 1))


def _labelled_row(row: str, names: list[str]) -> str:
    column = count()
    return _CELL.sub(lambda _: f'<td data-label="{names[next(column)]}"', row)
