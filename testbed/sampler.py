"""Samples a value every few milliseconds, so that a test can state "it was never 2" and the number of samples."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

# A tenth of the shortest value a person would call a blink.
INTERVAL = 0.01


@dataclass(frozen=True)
class Change(Generic[T]):
    """At `time.monotonic()` seconds `at` the value was first seen to be this one."""

    at: float
    value: T


class Sampler(Generic[T]):
    """Samples in a thread from enter to exit; the first look is taken before enter returns, the last one at exit.

    An error of `read` ends the sampling and is raised at exit.
    """

    def __init__(self, read: Callable[[], T], interval: float = INTERVAL) -> None:
        self._read = read
        self._interval = interval
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._error: Exception | None = None
        self._looked_at: float | None = None
        self.changes: list[Change[T]] = []
        self.samples = 0
        # Seconds: a machine that kept the thread waiting may have hidden a value for that long.
        self.longest_gap = 0.0

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
        if self._error is None:
            self._look()

    @property
    def values(self) -> list[T]:
        """Each value that the previous sample did not have, in order."""
        return [change.value for change in self.changes]

    @property
    def ended(self) -> bool:
        """By an error of `read`, or at exit."""
        return not self._thread.is_alive()

    def __str__(self) -> str:
        return f"{self.samples} samples, at most {self.longest_gap * 1000:.0f} ms apart: {self.values}"

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._interval):
                self._look()
        except Exception as error:  # noqa: BLE001 - raised again at exit
            self._error = error

    def _look(self) -> None:
        value, now = self._read(), time.monotonic()
        self.longest_gap = max(self.longest_gap, now - (self._looked_at or now))
        self._looked_at = now
        self.samples += 1
        if not self.changes or self.changes[-1].value != value:
            self.changes.append(Change(now, value))
