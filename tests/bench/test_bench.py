"""Each benchmark runs, small and for a few rounds, so that none rots. What it measures says nothing then."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import pictures, results
from bench.__main__ import MEASURES
from bench.results import Figure, Row
from bench.stage import Stage, stage

# The stage's start is within the first test's time.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("bench"), quick=True) as made:
        yield made


@pytest.mark.parametrize("name", list(MEASURES))
def test_a_measure_runs(small: Stage, name: str) -> None:
    """It ends, with figures of both sides or of itself."""
    rows = MEASURES[name](small)
    assert rows
    for row in rows:
        assert row.peer or row.floor
        assert math.isfinite(row.ours.median)


ROW = Row(
    "handler memory, resident, 250 agents", "MiB", Figure.of([60.0, 62.0]), Figure.of([40.0]), None, "<= 80", True
)


def test_results_are_kept_as_they_are(tmp_path: Path) -> None:
    """What is read again is what was written, to five digits."""
    results.write(tmp_path / "latest.json", [ROW], 12.0, "now")
    about, rows = results.read(tmp_path / "latest.json")
    assert rows == [Row(ROW.name, "MiB", Figure(61.0, 61.98, 60.0, 62.0, 2), ROW.peer, None, "<= 80", True)]
    assert about["seconds"] == 12


def test_a_table_says_whether_a_goal_is_reached() -> None:
    (head, line) = results.table([ROW]).splitlines()
    assert head.split() == ["measure", "unit", "ours", "p99", "peer", "p99", "ratio", "floor", "goal"]
    assert line.split() == [*ROW.name.split(), "MiB", "61", "62", "40", "1.52", "<=", "80", "met"]


def test_a_table_shows_an_earlier_revision_where_one_was_measured() -> None:
    """Rows without it keep their columns."""
    before = replace(ROW, before=Figure.of([90.0]))
    (head, first, second) = results.table([before, ROW]).splitlines()
    assert head.split()[:4] == ["measure", "unit", "before", "ours"]
    assert first.split()[len(ROW.name.split()) :] == ["MiB", "90", "61", "62", "40", "1.52", "<=", "80", "met"]
    assert second.split()[len(ROW.name.split()) :] == ["MiB", "61", "62", "40", "1.52", "<=", "80", "met"]
    assert first.index("61") == second.index("61")
    assert len({line.count("|") for line in results.markdown([before, ROW]).splitlines()}) == 1


def test_a_picture_has_a_bar_for_each_side(tmp_path: Path) -> None:
    pictures.draw(tmp_path, [ROW])
    (drawn,) = tmp_path.iterdir()
    assert drawn.name == "handler.svg"
    assert drawn.read_text().count("<rect") == 2
