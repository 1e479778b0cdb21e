"""Steps the wall clock for chosen programs: see stepped_clock.c.

A time namespace cannot do it: it moves the monotonic clock only. A real step would affect the whole machine.
"""

import mmap
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).parent / "stepped_clock.c"
_SECONDS = struct.Struct("=q")


class SteppedClock:
    """For all programs that are started with `environment`; it is built in a folder that they can read."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "stepped_clock.so"
        self._file = folder / "step"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", self._library, SOURCE], check=True)
        self._file.write_bytes(_SECONDS.pack(0))
        self._file.chmod(0o644)

    def __enter__(self) -> Self:
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SECONDS.size)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._map.close()

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_STEP_FILE": str(self._file)}

    def step(self, seconds: int) -> None:
        """From now on the wall clock is off by this many seconds."""
        self._map[:] = _SECONDS.pack(seconds)
