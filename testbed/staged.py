"""Base of objects with many parts, each a context: all are exited at the end, also if making one of them fails."""

import contextlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Staged(ABC):
    """Its `_start` enters the parts into `_stack`, in the order in which they need each other."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._stack = undo
            self._start()
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Not `close()`, which would hide the error that is under way behind one of leaving.
        self._stack.__exit__(kind, error, traceback)

    @abstractmethod
    def _start(self) -> None:
        """Make all of it."""
