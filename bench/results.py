"""Holds the results: rows of figures, as a table for people and as JSON for the comparison of runs."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
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
        figures = {name: Figure(**row[name]) if row[name] else None for name in ("ours", "peer", "floor")}
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
    head = ["measure", "unit", "ours", "p99", "peer", "p99", "ratio", "floor", "goal", ""]
    lines = [head, *([_cell(cell) for cell in _cells(row)] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = ["measure", "unit", "ours", "p99", "peer", "p99", "ratio", "floor", "goal", ""]
    lines = [head, ["---"] * 2 + ["--:"] * 6 + ["---"] * 2, *([_cell(cell) for cell in _cells(row)] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> list[Any]:
    many = row.ours.count > 1
    return [
        row.name, row.unit, row.ours.median, row.ours.p99 if many else None,
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
    texts = (0, 1, 8, 9)
    aligned = (c.ljust(w) if n in texts else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join(aligned).rstrip()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value
