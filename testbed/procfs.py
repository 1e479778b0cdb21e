"""Reads /proc, and the clocks of processes. A result may be out of date when it is returned."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC = Path("/proc")
#: See clock_getcpuclockid(3): the CPU clock of a whole process, in nanoseconds, threads that have ended included.
_CPU_CLOCK: Final = 2


@dataclass(frozen=True)
class Memory:
    """Bytes. `anonymous` is what a program itself filled; `resident` also counts the shared pages of its libraries."""

    resident: int
    proportional: int
    anonymous: int


def command_line(pid: int) -> list[bytes]:
    """Empty for a process that is gone, a zombie, or a kernel thread."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid: int) -> str:
    """One letter of proc(5), as `S` sleeping, `T` stopped by a signal, `Z` zombie; empty for a process that is gone."""
    try:
        # The second field is the name in parentheses, which may itself hold spaces and parentheses.
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process since its start; OSError for a process that is gone."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def memory(pid: int) -> Memory:
    fields = _fields(PROC / str(pid) / "smaps_rollup")
    return Memory(resident=fields["Rss"], proportional=fields["Pss"], anonymous=fields["Anonymous"])


def peak_memory(pid: int) -> int:
    """The most bytes that were ever resident at once, shared pages included."""
    status = (PROC / str(pid) / "status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split(":", 1) for line in path.read_text().splitlines()[1:])
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def open_files(pid: int) -> int:
    return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())


def pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
