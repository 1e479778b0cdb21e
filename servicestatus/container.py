"""Ends a container's first process at once on SIGTERM, until its program handles the signal.

The kernel discards a signal that process 1 has no handler for. Importing a program takes seconds where CPU is scarce; a
pod that is deleted meanwhile would wait for its whole grace period.
"""

import os
import signal
from types import FrameType


def end_on_sigterm() -> None:
    """Call this before the first large import; the program's event loop replaces the handler later."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 # the signature of a signal handler
    os._exit(0)
