"""Holds the results: rows of figures, as a table for people and as JSON for the comparison of runs."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Figure:
    """A quantity that was measured several times."""

    median: float
    p99: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        ordered = sorted(values)
        p99 = statistics.quantiles(ordered, n=100, method="inclusive")[98] if len(ordered) > 1 else ordered[0]
        return cls(statistics.median(ordered), p99, ordered[0], ordered[-1], len(ordered))


@dataclass(frozen=True)
class Row:
    """One measure. `goal` is the limit as text; `reached` says whether our figure is within it."""

    name: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    floor: Figure | None = None
    goal: str = ""
    reached: bool | None = None
    note: str = ""
    #: Ours at the revision that `--against` names.
    before: Figure | None = None

    @classmethod
    def of(
        cls, name: str, unit: str, figures: Mapping[str, Figure], goal: str = "", limit: float | None = None
    ) -> Self:
        """Return the row of figures by the names of the sides. `limit` is the highest median that reaches the goal."""
        ours, others = figures["ours"], [figures.get(side) for side in ("peer", "floor", "before")]
        reached = None if limit is None else ours.median <= limit
        return cls(name, unit, ours, others[0], others[1], goal, reached, before=others[2])

    @property
    def ratio(self) -> float | None:
        """The ratio of our median to the peer's."""
        return self.ours.median / self.peer.median if self.peer and self.peer.median else None


def write(path: Path, rows: Sequence[Row], seconds: float, when: str) -> None:
    """Write the rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "when": when,
        "seconds": round(seconds),
        "machine": machine(),
        "rows": [_rounded(asdict(row)) for row in rows],
    }
    path.write_text(json.dumps(whole, indent=1) + "\n")


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Return the header and the rows of a file that write() has written."""
    whole = json.loads(path.read_text())
    rows = []
    for row in whole.pop("rows"):
        figures = {name: Figure(**row[name]) if row.get(name) else None for name in ("ours", "peer", "floor", "before")}
        rows.append(Row(**{**row, **figures}))
    return whole, rows


def machine() -> dict[str, Any]:
    """Return the properties of this machine that a comparison needs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a text table."""
    lines = [_head(rows), *([_cell(cell) for cell in _cells(row, rows)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = _head(rows)
    rule = ["---"] * 2 + ["--:"] * (len(head) - 4) + ["---"] * 2
    lines = [head, rule, *([_cell(cell) for cell in _cells(row, rows)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _compared(rows: Sequence[Row]) -> bool:
    return any(row.before for row in rows)


def _head(rows: Sequence[Row]) -> list[str]:
    before = ["before"] if _compared(rows) else []
    return ["measure", "unit", *before, "ours", "p99", "peer", "p99", "ratio", "floor", "goal", ""]


def _cells(row: Row, rows: Sequence[Row]) -> list[Any]:
    many = row.ours.count > 1
    before = [row.before.median if row.before else None] if _compared(rows) else []
    return [
        row.name, row.unit, *before, row.ours.median, row.ours.p99 if many else None,
        row.peer.median if row.peer else None, row.peer.p99 if row.peer and row.peer.count > 1 else None,
        row.ratio, row.floor.median if row.floor else None, row.goal,
        {True: "met", False: "NOT met", None: ""}[row.reached],
    ]  # fmt: skip


def _cell(value: object) -> str:
    if value is None:
        return ""
    return digits(value) if isinstance(value, float) else str(value)


def digits(value: float) -> str:
    """Return a value with three digits, the precision of such a measurement."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = (0, 1, len(cells) - 2, len(cells) - 1)
    aligned = (c.ljust(w) if n in texts else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join(aligned).rstrip()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value
