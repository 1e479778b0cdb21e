"""What the demo says: plain lines, each with the seconds since the start, and a sign of life where nothing happens."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO

# Seconds until a silence is explained, and then between two explanations.
PATIENCE = 2.0
AGAIN = 5.0
# Below the text of a line with a time.
MARGIN = " " * 10


class Narrator:
    """Writes to `out`; the clock starts now."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begin = time.monotonic()
        # Two threads speak: the story, and the sign of life.
        self._lock = threading.Lock()

    def title(self, text: str) -> None:
        """The first line."""
        self._write(f"{text}\n")

    def say(self, text: str) -> None:
        """Something happens now."""
        self._write(f"{time.monotonic() - self._begin:6.1f} s  {text}")

    def details(self, text: str) -> None:
        """More about the line before; one line or several."""
        self._write("\n".join(MARGIN + line for line in text.splitlines()))

    def gap(self) -> None:
        """An empty line."""
        self._write("")

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Whatever takes longer than a moment within is explained by `what`."""
        done = threading.Event()
        reminder = threading.Thread(target=self._remind, args=(what, done), daemon=True)
        reminder.start()
        try:
            yield
        finally:
            done.set()
            reminder.join()

    def _remind(self, what: str, done: threading.Event) -> None:
        begin, pause = time.monotonic(), PATIENCE
        while not done.wait(pause):
            self.say(f"... {what}, {time.monotonic() - begin:.0f} s so far")
            pause = AGAIN

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()
