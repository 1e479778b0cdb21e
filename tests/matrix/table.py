"""The matrix as tables of a page: what is there of pairs that were not run this time stays."""

import re
from collections.abc import Iterable, Mapping, Sequence

from tests.matrix.pairs import Pair

UNTRIED = "-"
# Row by pair: the cells after the two versions.
Rows = Mapping[Pair, Sequence[str]]


def marked(name: str) -> re.Pattern[str]:
    """What stands between a table's comments in a page."""
    return re.compile(rf"(<!-- begin {name}, [^\n]*-->\n).*?(<!-- end {name} -->)", re.DOTALL)


def written(text: str, name: str, columns: Sequence[str], pairs: Iterable[Pair], rows: Rows) -> str:
    """The page with these rows in its table; each of the other pairs keeps its row, or has an untried one."""
    kept = {**read(text, name), **rows}
    empty = [UNTRIED] * len(columns)
    table = render(columns, {pair: kept.get(pair, empty) for pair in pairs})
    return marked(name).sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)


def read(text: str, name: str) -> dict[Pair, list[str]]:
    """The rows that a page has."""
    found = marked(name).search(text)
    if found is None:
        raise ValueError(f"the page has no table {name}")
    lines = [line for line in found[0].splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {Pair(kubernetes, "" if kubevirt == UNTRIED else kubevirt): rest for kubevirt, kubernetes, *rest in cells}


def render(columns: Sequence[str], rows: Rows) -> str:
    """A table of a page."""
    head = ["KubeVirt", "Kubernetes", *columns]
    body = [[pair.kubevirt or UNTRIED, pair.kubernetes, *cells] for pair, cells in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))
