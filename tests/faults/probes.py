"""What a soak reads from a real process: memory, descriptors and threads from outside, tasks by a probe inside."""

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import procfs
from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

PROBE = Path(__file__).parent / "probe"


@dataclass(frozen=True)
class Reading:
    """At `at` seconds. Memory in bytes."""

    at: float
    resident: int
    anonymous: int
    files: int
    threads: int
    tasks: int


class Probe:
    """Reads one process, which was started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(PROBE), "PROBE_FILE": str(self._file)}

    def read(self, process: ManagedProcess, at: float) -> Reading:
        memory = procfs.memory(process.pid)
        return Reading(
            at=at,
            resident=memory.resident,
            anonymous=memory.anonymous,
            files=process.open_files(),
            threads=len(list((procfs.PROC / str(process.pid) / "task").iterdir())),
            tasks=self._tasks(process),
        )

    def _tasks(self, process: ManagedProcess) -> int:
        self._file.unlink(missing_ok=True)
        process.signal(signal.SIGUSR2)
        wait_until(self._file.exists, what=f"{process} answers the probe", interval=0.01)
        tasks: int = json.loads(self._file.read_text())["tasks"]
        return tasks
