"""A storm of viewers: a process of its own that connects and closes them as fast as QEMU takes them.

Each viewer of the storm is one of the kinds that real life has: a whole session, a port scan, a client that gives up in
the middle, one whose connection is cut. At the end some stay, and the storm says how many: the number that everyone has
to arrive at. The worker prints one line of JSON and holds its viewers until its standard input closes.
"""

import argparse
import contextlib
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed import addresses
from testbed.addresses import Address
from testbed.processes import ManagedProcess
from testbed.rfb import HandshakeRefusedError, Viewer
from testbed.waiting import wait_until

# QEMU serves 32, and one that we closed still counts there until QEMU notices.
LIMIT = 24


@dataclass(frozen=True)
class StormResult:
    """`left` viewers are established now. Each of `connects` gave CONNECT; `sessions` of them gave INITIALIZE too.

    `taken_over` were closed by QEMU, for one that asked to be alone.
    """

    left: int
    connects: int
    sessions: int
    refused: int
    taken_over: int
    seconds: float


class Storm:
    """The test's end: starts the worker, waits for its result, and lets its viewers go at exit."""

    def __init__(
        self,
        address: Address,
        *,
        seconds: float,
        left: int,
        seed: int,
        log: Path,
        takeovers: bool = False,
        rate: float = math.inf,
    ) -> None:
        """`left` viewers stay at the end; the same `seed` gives the same storm, as far as timing lets it.

        `takeovers`: some viewers ask QEMU to close all others. `rate`: viewers a second, at most.
        """
        options = {"--seconds": seconds, "--left": left, "--seed": seed, "--rate": rate}
        arguments = [str(part) for pair in options.items() for part in pair] + ["--takeovers"] * takeovers
        worker = [sys.executable, "-m", __name__, str(address), *arguments]
        root = Path(__file__).parents[1]
        self._process = ManagedProcess(worker, log=log, env={"PYTHONPATH": str(root)}, pipe_stdin=True)
        self._seconds = seconds

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()

    def result(self) -> StormResult:
        """Waits for the end of the storm; the viewers that are left stay."""
        line = self._process.wait_for_log('{"left"', timeout=self._seconds + 30)
        return StormResult(**json.loads(line))

    def release(self) -> None:
        """The viewers that are left close in an orderly way."""
        self._process.close_stdin()
        status = self._process.wait()
        assert status == 0, f"the storm ended with status {status}:\n{self._process.log_tail()}"


class _Worker:
    def __init__(self, address: Address, seed: int, takeovers: bool) -> None:
        self._address = address
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._viewers: list[Viewer] = []
        self._counts: Counter[str] = Counter()
        self._steps: list[Callable[[], None]] = [self._come, self._come, self._scan, self._give_up, self._go, self._go]
        self._steps += [self._take_over] * takeovers

    def run(self, seconds: float, left: int, rate: float) -> StormResult:
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < seconds:
            if self._counts["connects"] > rate * passed:
                time.sleep(1 / rate)
            else:
                self._random.choice(self._steps)()
        self._settle(left)
        return StormResult(
            left=len(self._viewers),
            connects=self._counts["connects"],
            sessions=self._counts["sessions"],
            refused=self._counts["refused"],
            taken_over=self._counts["taken_over"],
            seconds=time.monotonic() - begin,
        )

    def _come(self, *, shared: bool = True) -> None:
        if len(self._viewers) >= LIMIT:
            return self._go()
        viewer = self._connect()
        try:
            viewer.handshake(shared=shared)
        except HandshakeRefusedError:
            self._counts["refused"] += 1
            viewer.close()
        else:
            self._counts["sessions"] += 1
            self._viewers.append(viewer)

    def _take_over(self) -> None:
        """By one that leaves at once: while it is there, QEMU refuses all others."""
        others, self._viewers = self._viewers, []
        self._come(shared=False)
        alone, self._viewers = self._viewers, [viewer for viewer in others if viewer.connected]
        self._counts["taken_over"] += len(others) - len(self._viewers)
        for viewer in alone + [viewer for viewer in others if viewer not in self._viewers]:
            viewer.close()

    def _scan(self) -> None:
        self._connect().close()

    def _give_up(self) -> None:
        with contextlib.closing(self._connect()) as viewer, contextlib.suppress(HandshakeRefusedError):
            viewer.exchange_version()

    def _go(self) -> None:
        if self._viewers:
            viewer = self._viewers.pop(self._random.randrange(len(self._viewers)))
            self._random.choice([viewer.close, viewer.abort])()

    def _connect(self) -> Viewer:
        viewer = Viewer.connect(self._address)
        self._counts["connects"] += 1
        return viewer

    def _settle(self, left: int) -> None:
        while len(self._viewers) > left:
            self._go()
        # QEMU may refuse while it has not yet noticed who has gone.
        wait_until(lambda: self._filled(left), what=f"{left} viewers are established")

    def _filled(self, left: int) -> bool:
        self._viewers = [viewer for viewer in self._viewers if viewer.connected]
        if len(self._viewers) < left:
            self._come()
        return len(self._viewers) == left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", type=addresses.parse)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--left", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--takeovers", action="store_true")
    parser.add_argument("--rate", type=float, required=True)
    options = parser.parse_args()
    result = _Worker(options.address, options.seed, options.takeovers).run(options.seconds, options.left, options.rate)
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - its answer
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
