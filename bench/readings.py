"""What the kernel knows of a process and of a cgroup, read from outside and without disturbing either."""

import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Charged:
    """Bytes that a cgroup is charged with."""

    anon: int
    file: int
    kernel: int


def charged(cgroup: Path) -> Charged:
    """Of a cgroup's folder in the hierarchy that has the memory controller, version 1 or 2."""
    stat = {name: int(value) for name, value in map(str.split, (cgroup / "memory.stat").read_text().splitlines())}
    kernel = cgroup / "memory.kmem.usage_in_bytes"
    if kernel.exists():
        return Charged(stat["total_rss"], stat["total_cache"], int(kernel.read_text()))
    return Charged(stat["anon"], stat["file"], stat["kernel"])


def proportional(pid: int) -> int:
    """Bytes, each shared page counted in parts."""
    return procfs.memory(pid).proportional
