"""Prints the demo's lines, each with the seconds since the start, and a progress line during long waits."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO

# Seconds of waiting until the first progress line, and then between two progress lines.
FIRST = 2.0
AGAIN = 5.0
# Aligns a line without a time with the text of a line with a time.
MARGIN = " " * 10


class Narrator:
    """Writes to `out`. Its clock starts at construction."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begin = time.monotonic()
        # Two threads write: the story, and the progress lines.
        self._lock = threading.Lock()

    def title(self, text: str) -> None:
        """Print the first line."""
        self._write(f"{text}\n")

    def say(self, text: str) -> None:
        """Print a line with the time."""
        self._write(f"{time.monotonic() - self._begin:6.1f} s  {text}")

    def details(self, text: str) -> None:
        """Print details of the previous line, on one line or several."""
        self._write("\n".join(MARGIN + line for line in text.splitlines()))

    def gap(self) -> None:
        """Print an empty line."""
        self._write("")

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Print progress lines with `what` if the body takes longer than 2 s."""
        done = threading.Event()
        reminder = threading.Thread(target=self._remind, args=(what, done), daemon=True)
        reminder.start()
        try:
            yield
        finally:
            done.set()
            reminder.join()

    def _remind(self, what: str, done: threading.Event) -> None:
        begin, pause = time.monotonic(), FIRST
        while not done.wait(pause):
            self.say(f"... {what}, {time.monotonic() - begin:.0f} s so far")
            pause = AGAIN

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()
