"""How far a run is, as a log shows it."""

from types import SimpleNamespace
from typing import Any

from testbed.progress import Progress


class _Reporter:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        self.lines.append("newline")

    def write_line(self, line: str) -> None:
        self.lines.append(line)


def test_a_line_every_twenty_seconds_says_how_far_it_is() -> None:
    """On a line of its own, and not at each test."""
    reporter, times = _Reporter(), iter([0.0, 5.0, 19.9, 31.0, 50.9, 51.0])
    progress = Progress(reporter, lambda: next(times))
    session: Any = SimpleNamespace(items=[None] * 8)
    progress.pytest_collection_finish(session)
    for _ in range(5):
        progress.pytest_runtest_logfinish()
    assert reporter.lines == ["newline", "3 of 8 tests after 31 s", "newline", "5 of 8 tests after 51 s"]
