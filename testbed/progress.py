"""How far a run of tests is, for a log: whole lines, since dots are seen there only when their line has ended.

At a terminal pytest's own dots and percentages are enough, and nothing is said.
"""

import time
from collections.abc import Callable
from typing import Protocol

import pytest

# Seconds between two lines; as in hack/common.sh.
INTERVAL = 20.0


class Reporter(Protocol):
    """As much of pytest's terminal reporter as is needed."""

    def ensure_newline(self) -> None: ...
    def write_line(self, line: str) -> None: ...


class Progress:
    """A plugin of pytest. It looks at the clock when a test has ended, so a single long one is not interrupted."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._clock = clock
        self._begin = self._told = clock()
        self._total = self._done = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    def pytest_runtest_logfinish(self) -> None:
        self._done += 1
        now = self._clock()
        if now - self._told >= INTERVAL:
            self._told = now
            self._reporter.ensure_newline()
            self._reporter.write_line(f"{self._done} of {self._total} tests after {now - self._begin:.0f} s")
