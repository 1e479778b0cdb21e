"""What the kernel knows of a process, read from outside and without disturbing it."""

import time
from pathlib import Path
from typing import Final

from testbed import procfs

#: See clock_getcpuclockid(3): the CPU clock of a whole process, in nanoseconds, threads that have ended included.
_CPU_CLOCK: Final = 2


def cpu_seconds(pid: int) -> float:
    """CPU time of a process since its start."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def context_switches(pid: int) -> int:
    """Of all its threads that live: each is a wake-up, or a moment at which others were served first."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = (line.split() for line in status.read_text().splitlines() if "ctxt_switches" in line)
        total += sum(int(count) for _, count in lines)
    return total


def proportional(pid: int) -> int:
    """Bytes, each shared page counted in parts."""
    return procfs.memory(pid).proportional
