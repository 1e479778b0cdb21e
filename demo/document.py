"""Reads the VMI document every 10 ms and checks the demo's expectations against every sample.

The field is absent while no viewer is connected; `None` represents that here.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.sampler import Sampler
from testbed.waiting import wait_until

FIELD = "status.serviceStatus.vncSessions"
# Seconds. A value follows within 2 s; a loaded machine gets more time.
TIMEOUT = 15.0

Value = int | None


def read(path: Path) -> Value:
    """Return the field; None if the field or the document is absent."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    value: Value = document.get("status", {}).get("serviceStatus", {}).get("vncSessions")
    return value


def described(value: Value) -> str:
    """Return the text by which the demo shows a value."""
    return f"{FIELD}: {'absent' if value is None else value}"


class DocumentWatch:
    """Records all values between enter and exit, in order."""

    def __init__(self, path: Path, check: Callable[[], object]) -> None:
        """`check` raises if waiting is pointless because a program has ended."""
        self._sampler = Sampler(lambda: read(path))
        self._check = check
        self._mark = 0
        self._samples = 0

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sampler.__exit__(kind, error, traceback)

    @property
    def value(self) -> Value:
        """The newest value."""
        return self._sampler.changes[-1].value

    @property
    def seen(self) -> list[Value]:
        """The value at the mark and every different value since then."""
        return self._sampler.values[self._mark :]

    @property
    def looks(self) -> int:
        """The number of samples since the mark."""
        return self._sampler.samples - self._samples

    def mark(self) -> None:
        """Set the mark to now: earlier values are not considered any more."""
        self._mark, self._samples = len(self._sampler.changes) - 1, self._sampler.samples

    def take(self) -> list[Value]:
        """Return the values since the mark and move the mark to the last of them."""
        taken = self.seen[1:]
        self._mark += len(taken)
        return taken

    def wait_for(self, value: Value, since: float) -> float:
        """Wait for `value`, which must directly follow the value at the mark. Return the seconds since `since`."""
        wait_until(self._look, lambda now: now == value, what=described(value), timeout=TIMEOUT)
        assert len(self.seen) <= 2, f"it should have become {value} at once, and went {self.seen}"
        return max(0.0, self._sampler.changes[-1].at - since)

    def wait_for_change(self, timeout: float) -> bool:
        """Return whether the value differs from the value at the mark within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while len(self.seen) < 2 and time.monotonic() < deadline:
            self._look()
            time.sleep(0.02)
        return len(self.seen) > 1

    def assert_stayed(self, value: Value) -> None:
        """Assert that every sample since the mark is `value`."""
        assert self.seen == [value], f"it should have stayed {value}, and went {self.seen}"

    def _look(self) -> Value:
        self._check()
        return self.value
