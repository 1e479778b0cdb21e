"""Waiting for a condition with a deadline, in place of sleeping and hoping.

A wait that fails says what it last saw: "still 2 after 30 s" is worth more than "timed out". So a condition is given in
two parts, `observe` (what is looked at) and `accept` (what is hoped for), and the error shows the last observation.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

# Generous: only a failing test waits that long, and a loaded machine of two cores must not fail one.
TIMEOUT = 60.0
# Multiplies the time limits of waits, commands and tests, and changes nothing else. tests/vm sets it for an emulated
# machine.
FACTOR = float(os.environ.get("TIMEOUT_FACTOR", "1"))
# Short beside every interval that the programs work with (the shortest merges events of 20 ms).
INTERVAL = 0.005


def scaled(seconds: float) -> float:
    """Return a time limit as it holds on this machine; `wait_until` scales its own."""
    return seconds * FACTOR


class WaitTimeoutError(AssertionError):
    """The condition did not come true before its deadline."""


class _Wait:
    """The bookkeeping that the two flavours share: the deadline and the last observation."""

    def __init__(self, what: str, timeout: float) -> None:
        self._what = what
        self._timeout = scaled(timeout)
        self._deadline = time.monotonic() + self._timeout
        self.seen: object = None

    def check(self) -> None:
        if time.monotonic() >= self._deadline:
            cause = self.seen if isinstance(self.seen, Exception) else None
            raise WaitTimeoutError(f"not within {self._timeout:g} s: {self._what}; last seen: {self.seen!r}") from cause


def wait_until(
    observe: Callable[[], T],
    accept: Callable[[T], object] = bool,
    *,
    what: str,
    timeout: float = TIMEOUT,
    interval: float = INTERVAL,
    retry_on: tuple[type[Exception], ...] = (),
) -> T:
    """Observes until `accept` approves, and returns that observation. Errors of `retry_on` count as "not yet"."""
    wait = _Wait(what, timeout)
    while True:
        try:
            value = observe()
            wait.seen = value
            if accept(value):
                return value
        except retry_on as error:
            wait.seen = error
        wait.check()
        time.sleep(interval)


@overload
async def wait_until_async(
    observe: Callable[[], Awaitable[T]],
    accept: Callable[[T], object] = bool,
    *,
    what: str,
    timeout: float = TIMEOUT,
    interval: float = INTERVAL,
    retry_on: tuple[type[Exception], ...] = (),
) -> T: ...


@overload
async def wait_until_async(
    observe: Callable[[], T],
    accept: Callable[[T], object] = bool,
    *,
    what: str,
    timeout: float = TIMEOUT,
    interval: float = INTERVAL,
    retry_on: tuple[type[Exception], ...] = (),
) -> T: ...


async def wait_until_async(
    observe: Callable[[], Any],
    accept: Callable[[Any], object] = bool,
    *,
    what: str,
    timeout: float = TIMEOUT,
    interval: float = INTERVAL,
    retry_on: tuple[type[Exception], ...] = (),
) -> Any:
    """`wait_until` for a running event loop; `observe` may be a coroutine function or a plain, quick one."""
    wait = _Wait(what, timeout)
    while True:
        try:
            value = observe()
            wait.seen = await value if inspect.isawaitable(value) else value
            if accept(wait.seen):
                return wait.seen
        except retry_on as error:
            wait.seen = error
        wait.check()
        await asyncio.sleep(interval)
