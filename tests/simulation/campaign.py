"""Runs many histories, on as many processes as there are cores, and reports those that fail.

Each process has the same hash seed, so that sets have the same order in each run of a history.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TextIO

from tests.simulation.generator import FAULTS, generate
from tests.simulation.run import run
from tests.simulation.shrink import shrink

ROOT: Final = Path(__file__).parents[2]
PYTHON_HASH_SEED: Final = "0"
#: A run leaves some thousand objects in cycles: they are collected from time to time, not during a run.
_COLLECT: Final = 50
#: Failures after which the campaign stops.
_ENOUGH: Final = 5


@dataclass(slots=True)
class Stats:
    """What the histories contained."""

    histories: int = 0
    steps: int = 0
    faults: int = 0
    #: Seed, promise, message.
    violations: list[tuple[int, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Self) -> None:
        """Both together."""
        self.histories += other.histories
        self.steps += other.steps
        self.faults += other.faults
        self.violations += other.violations
        self.seconds = max(self.seconds, other.seconds)


def live_through(seeds: range, enough: int = _ENOUGH, output: TextIO | None = None) -> Stats:
    """Run these histories here, up to so many failures. Each is printed at once: the rest may take hours."""
    stats = Stats()
    begin = time.monotonic()
    gc.disable()
    for seed in seeds:
        history = generate(seed)
        found = run(history)
        kinds = Counter(step.name in FAULTS for step in history.steps)
        stats.histories += 1
        stats.steps += kinds.total()
        stats.faults += kinds[True]
        if found:
            stats.violations.append((seed, found[0].promise, found[0].words))
            if output is not None:
                output.write(f"seed {seed}: {found[0].promise}: {found[0].words}\n")
        if len(stats.violations) >= enough:
            break
        if stats.histories % _COLLECT == 0:
            gc.collect()
    gc.enable()
    stats.seconds = time.monotonic() - begin
    return stats


def campaign(seeds: int, first: int, jobs: int, root: Path = ROOT, enough: int = _ENOUGH) -> Stats:
    """Run `seeds` histories from `first` on, with `jobs` processes, of the programs in `root`."""
    total = Stats()
    with ExitStack() as stack:
        started = [
            stack.enter_context(_worker(range(first + job, first + seeds, jobs), root, enough)) for job in range(jobs)
        ]
        for process in started:
            output, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"a process of the simulation ended with status {process.returncode}")
            data = json.loads(output)
            data["violations"] = [tuple(violation) for violation in data["violations"]]
            total.add(Stats(**data))
    total.violations.sort()
    return total


def _worker(seeds: range, root: Path, enough: int) -> "subprocess.Popen[str]":
    words = [str(number) for number in (seeds.start, seeds.stop, seeds.step, enough)]
    environment = os.environ | {
        "PYTHONHASHSEED": PYTHON_HASH_SEED,
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, "-m", "tests.simulation.worker", *words]
    return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)


def report(stats: Stats) -> Iterator[str]:
    """Return the report for a person."""
    for seed, promise, _ in stats.violations[:3]:
        shortest = shrink(generate(seed), promise, run)
        yield f"\n{shortest}"
        yield from (f"  {violation}" for violation in run(shortest))
        yield f"  replay: make simulate ARGS='--replay {seed} --only {shortest.choice}'"
    yield ""
    yield f"{'':14}{'histories':>12}{'steps':>12}{'faults':>12}{'violations':>12}"
    yield (
        f"{'simulation':14}{stats.histories:12,}{stats.steps:12,}{stats.faults:12,}{len(stats.violations):12,}"
        f"     {stats.histories / max(stats.seconds, 0.001):.0f} histories/s, {stats.seconds:.0f} s"
    )
