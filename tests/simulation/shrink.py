"""Shrinks a failing history: leaves out epochs, then steps, as long as the same promise is still broken."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.history import History
from tests.simulation.oracles import Violation

Run = Callable[[History], list[Violation]]


def shrink(history: History, promise: str, run: Run, budget: int = 400) -> History:
    """Return the shortest history found, in at most `budget` runs, that still breaks `promise`."""
    left = budget
    again = True
    while again:
        again = False
        for shorter in _shorter(history):
            if not left:
                return history
            left -= 1
            if any(violation.promise == promise for violation in run(shorter)):
                history, again = shorter, True
                break
    return history


def _shorter(history: History) -> Iterator[History]:
    """Yield each history with less in it, the shortest first."""
    for number in range(len(history.epochs)):
        if len(history.epochs) > 1:
            yield replace(history, epochs=history.epochs[:number] + history.epochs[number + 1 :])
    for number, epoch in enumerate(history.epochs):
        for size in _sizes(len(epoch.steps)):
            for first in range(0, len(epoch.steps), size):
                shorter = replace(epoch, steps=epoch.steps[:first] + epoch.steps[first + size :])
                yield replace(history, epochs=(*history.epochs[:number], shorter, *history.epochs[number + 1 :]))


def _sizes(length: int) -> Iterator[int]:
    size = length // 2
    while size >= 1:
        yield size
        size //= 2
