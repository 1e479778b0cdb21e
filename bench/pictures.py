"""Draws rows as SVG: bars side by side, no library, so that the docs can show what was measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from bench.results import Row, digits

WIDTH: Final = 720
#: Room for the names on the left, for a figure on the right of its bar.
LEFT: Final = 330
RIGHT: Final = 90
BAR: Final = 14
GAP: Final = 12
COLOURS: Final[Mapping[str, str]] = {"before": "#79c0ff", "ours": "#1f6feb", "peer": "#9a6700", "floor": "#8c959f"}
#: Both light and dark pages show it.
TEXT: Final = "#6e7781"


@dataclass(frozen=True)
class Picture:
    """The rows whose names begin so, all in one unit."""

    file: str
    title: str
    begins: tuple[str, ...]
    p99: bool = False


PICTURES: Final = (
    Picture("delay.svg", "from a viewer's connection to the number at the API server, ms", ("first viewer",), p99=True),
    Picture("cpu.svg", "the handler's CPU for an event, us", ("handler CPU per event", "the same, nothing")),
    Picture("sidecar.svg", "a sidecar's memory, MiB", ("sidecar memory",)),
    Picture("handler.svg", "the handler's memory, MiB", ("handler memory, resident", "handler memory, its")),
    Picture("growth.svg", "the handler's CPU for an agent, by their number, us/s", ("growth: handler CPU",)),
)


def draw(folder: Path, rows: Sequence[Row]) -> list[Picture]:
    """All pictures whose rows are there, and says which."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for picture in PICTURES:
        chosen = [row for row in rows if row.name.startswith(picture.begins)]
        if chosen:
            (folder / picture.file).write_text(_svg(picture, chosen))
            drawn.append(picture)
    return drawn


def _svg(picture: Picture, rows: Sequence[Row]) -> str:
    groups = [group for row in rows for group in _groups(row, p99=picture.p99)]
    most = max(value for _, bars in groups for value in bars.values()) or 1.0
    lines, top = [_text(8, 20, picture.title, weight="bold")], 36
    for name, bars in groups:
        lines.append(_text(8, top + BAR - 3, name))
        for side, value in bars.items():
            lines += _bar(top, side, value, most)
            top += BAR
        top += GAP
    size = f'width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, *lines, "</svg>", ""])


def _groups(row: Row, *, p99: bool) -> Iterable[tuple[str, dict[str, float]]]:
    figures = {"before": row.before, "ours": row.ours, "peer": row.peer, "floor": row.floor}
    sides = {name: figure for name, figure in figures.items() if figure}
    name = row.name if len(row.name) <= 46 else f"{row.name[:45]}..."
    yield ("median" if p99 else name), {side: figure.median for side, figure in sides.items()}
    if p99:
        yield "99th percentile", {side: figure.p99 for side, figure in sides.items()}


def _bar(top: int, side: str, value: float, most: float) -> list[str]:
    width = max(1.0, value / most * (WIDTH - LEFT - RIGHT))
    bar = f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[side]}"/>'
    return [bar, _text(round(LEFT + width) + 5, top + BAR - 3, f"{digits(value)} {side}")]


def _text(x: int, y: int, text: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" fill="{TEXT}" font-weight="{weight}">{escape(text)}</text>'
