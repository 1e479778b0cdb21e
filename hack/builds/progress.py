"""Reports on standard error, so that what a command answers on standard output can be captured."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds between two lines; as in hack/common.sh.
INTERVAL = 20.0


def say(message: str) -> None:
    """Write one whole line, which reads as well in a log of CI as at a terminal."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


@contextmanager
def progress(what: str, every: float = INTERVAL) -> Iterator[None]:
    """Report every so many seconds, while the block runs, that `what` has not ended yet."""
    ended = threading.Event()
    thread = threading.Thread(target=_report, args=(what, every, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _report(what: str, every: float, ended: threading.Event) -> None:
    start = time.monotonic()
    while not ended.wait(every):
        say(f"{what}: still running ({time.monotonic() - start:.0f} s)")
