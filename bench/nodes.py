"""Runs one side on a node: its handler, and the launchers of all VMIs."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench.containers import Container
from bench.sides import Load, Side
from bench.stage import Crowd, Stage
from servicestatus import contract

#: Seconds within which the agents of a node start: the interval of their heartbeats.
SPREAD: Final = contract.DEFAULT_SETTINGS.heartbeat_interval


@dataclass
class Work:
    """One side that runs on a node."""

    side: Side
    crowd: Crowd
    handler: Container
    load: Load


@contextmanager
def working(stage: Stage, side: Side, size: int, *, owned: bool = True) -> Iterator[Work]:
    """Yield a side after all its launchers have reported. No viewer is connected."""
    crowd = stage.crowd(size, owned=owned)
    with side.handler(crowd.node) as handler:
        wait_served(handler, crowd, side)
        with side.load(crowd.vmis, stage.seconds(SPREAD)) as load:
            load.do("sync")
            yield Work(side, crowd, handler, load)
    stage.clear(crowd)


@contextmanager
def all_sides(stage: Stage, size: int, *, owned: bool = True) -> Iterator[list[Work]]:
    """Yield all sides, each on a separate node, so that rounds can alternate."""
    with ExitStack() as stack:
        yield [stack.enter_context(working(stage, side, size, owned=owned)) for side in stage.sides]


def wait_served(handler: Container, crowd: Crowd, side: Side, timeout: float = 120.0) -> None:
    """Wait until the socket of each VMI exists."""
    deadline = time.monotonic() + timeout
    for vmi in crowd.vmis:
        while not side.socket(vmi).exists():
            assert handler.running, f"{handler} has ended:\n{handler.log_tail()}"
            assert time.monotonic() < deadline, f"{vmi.name} is not served"
            time.sleep(0.01)
