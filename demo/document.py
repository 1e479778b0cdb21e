"""The VMI document, looked at every 10 ms: what the demo claims of it is held against every look.

The field is absent while nobody is connected, which is written `None` here.
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
# Seconds. A value follows within two; a machine that does much else is given more.
TIMEOUT = 15.0

Value = int | None


def read(path: Path) -> Value:
    """The field; None where it is absent, or the document is."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    value: Value = document.get("status", {}).get("serviceStatus", {}).get("vncSessions")
    return value


def described(value: Value) -> str:
    """As the demo shows it."""
    return f"{FIELD}: {'absent' if value is None else value}"


class DocumentWatch:
    """All values between enter and exit, in order."""

    def __init__(self, path: Path, check: Callable[[], object]) -> None:
        """`check` raises when waiting on is pointless, since a program has ended."""
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
        """The newest."""
        return self._sampler.changes[-1].value

    @property
    def seen(self) -> list[Value]:
        """The value at the mark and every other one since."""
        return self._sampler.values[self._mark :]

    @property
    def looks(self) -> int:
        """How often it was looked at since the mark."""
        return self._sampler.samples - self._samples

    def mark(self) -> None:
        """Forget what came before."""
        self._mark, self._samples = len(self._sampler.changes) - 1, self._sampler.samples

    def take(self) -> list[Value]:
        """The values since the mark, which moves to the last of them."""
        taken = self.seen[1:]
        self._mark += len(taken)
        return taken

    def wait_for(self, value: Value, since: float) -> float:
        """Until it is `value`, with nothing between that and the value at the mark. Seconds from `since` to that."""
        wait_until(self._look, lambda now: now == value, what=described(value), timeout=TIMEOUT)
        assert len(self.seen) <= 2, f"it should have become {value} at once, and went {self.seen}"
        return max(0.0, self._sampler.changes[-1].at - since)

    def wait_for_change(self, timeout: float) -> bool:
        """Whether it was another value than at the mark within so many seconds."""
        deadline = time.monotonic() + timeout
        while len(self.seen) < 2 and time.monotonic() < deadline:
            self._look()
            time.sleep(0.02)
        return len(self.seen) > 1

    def assert_stayed(self, value: Value) -> None:
        """It was `value` at every look since the mark."""
        assert self.seen == [value], f"it should have stayed {value}, and went {self.seen}"

    def _look(self) -> Value:
        self._check()
        return self.value
