"""What the kernel knows of a process, read from outside and without disturbing it."""

from pathlib import Path

from testbed import procfs


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
